package receivers_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/receivers"
	"github.com/pipesteward/pipesteward/actions/receivers/receiverstest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/receiver"
)

// secretFile returns the file of the secret that the receiver checks, and the right value.
func (r *rig) secretFile() (path, right string) {
	switch {
	case r.definition.SecretFile != "":
		return r.definition.SecretFile, botSecret
	case r.definition.SigningTokenFile != "":
		return r.definition.SigningTokenFile, signingToken
	case r.definition.PasswordFile != "":
		return r.definition.PasswordFile, mailPassword
	}
	return r.definition.URLFile, r.bots.URL(r.kind)
}

// wrong returns another secret that looks right.
func (r *rig) wrong() string {
	path, right := r.secretFile()
	switch path {
	case r.definition.SigningTokenFile:
		return "whsec_" + base64.StdEncoding.EncodeToString([]byte("another-key-another-key-another-key"))
	case r.definition.URLFile:
		return right[:len(right)-3] + "xyz"
	}
	return right + "-of-another"
}

// A wrong secret is for an operator to mend, who is told what to do, and needs no restart.
func TestWrongSecret(t *testing.T) {
	everyKind(t, func(t *testing.T, r *rig) {
		path, right := r.secretFile()
		r.write(path, r.wrong())
		e := r.refused(notice())
		if _, again := e.Again(); again || !e.Mendable() || e.Silent() || event.Transient(e) {
			t.Errorf("a wrong secret is not final and mendable: %v", e)
		}
		if advice := e.Advice(); !strings.Contains(advice, "secret") && !strings.Contains(advice, "url") && !strings.Contains(advice, "password") {
			t.Errorf("the advice names no setting: %v", e)
		}
		r.write(path, right)
		r.sent(notice())
		if len(r.messages()) != 1 {
			t.Errorf("%d messages were accepted", len(r.messages()))
		}
		if log := r.log.String(); strings.Count(log, "a secret of a receiver has changed") != 2 {
			t.Errorf("log: %s", log)
		}
	})
}

// While a secret's file can't be used, the secret in force stays.
func TestBrokenSecretFile(t *testing.T) {
	everyKind(t, func(t *testing.T, r *rig) {
		path, _ := r.secretFile()
		for _, broken := range []string{"", "one\ntwo"} {
			r.write(path, broken)
			for range 2 {
				r.sent(notice())
				r.clock.advance(time.Minute)
			}
		}
		if log := r.log.String(); strings.Count(log, "level=ERROR") != 2 || !strings.Contains(log, path) {
			t.Errorf("log: %s", log)
		}
	})
}

// A receiver that was removed is for an operator to mend.
func TestRemoved(t *testing.T) {
	everyKind(t, func(t *testing.T, r *rig) {
		r.bots.Remove(r.kind)
		e := r.refused(notice())
		if _, again := e.Again(); again || !e.Mendable() || e.Silent() {
			t.Errorf("%v: again %v, mendable %v, silent %v", e, again, e.Mendable(), e.Silent())
		}
	}, receiver.Email)
}

// A burst is sent below the medium's rates, which the receiver would refuse to exceed.
func TestRates(t *testing.T) {
	everyKind(t, func(t *testing.T, r *rig) {
		const messages = 150
		begin := r.clock.now()
		for n := range messages {
			for {
				m := notice()
				m.ID = strconv.Itoa(n)
				err := r.Send(t.Context(), m)
				if err == nil {
					break
				}
				e, ok := errors.AsType[*receivers.Error](err)
				if !ok {
					t.Fatal(err)
				}
				after, again := e.Again()
				if !again || after <= 0 || e.Code != "rate_limited" || e.Silent() {
					t.Fatalf("message %d, after %s: %v", n, r.clock.now().Sub(begin), err)
				}
				r.clock.advance(after)
			}
		}
		if requests := r.bots.Requests(r.kind); requests != messages || len(r.messages()) != messages {
			t.Errorf("%d requests, %d messages", requests, len(r.messages()))
		}
		if took := r.clock.now().Sub(begin); took > 12*time.Minute {
			t.Errorf("%d messages took %s", messages, took)
		}
	}, receiver.Email)
}

// While a receiver refuses messages for too many, none is sent to it.
func TestReceiverLimits(t *testing.T) {
	type limited struct {
		fault receiverstest.Fault
		after time.Duration
	}
	status := limited{receiverstest.Fault{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"17"}}}, 17 * time.Second}
	cases := map[string][]limited{
		receiver.Feishu: {
			{receiverstest.Fault{Body: `{"code":11232,"msg":"frequency limited"}`}, time.Minute},
			{receiverstest.Fault{Body: `{"code":9499,"msg":"too many request","data":{}}`}, time.Minute},
			{receiverstest.Fault{Status: 429, Body: `{"code":99991400,"msg":"request trigger frequency limit"}`, Header: http.Header{"X-Ogw-Ratelimit-Reset": {"52"}}}, 52 * time.Second},
			{receiverstest.Fault{Status: 400, Body: `{"code":99991400,"msg":"request trigger frequency limit"}`, Header: http.Header{"X-Ogw-Ratelimit-Reset": {"52"}}}, 52 * time.Second},
		},
		receiver.Lark:       {{receiverstest.Fault{Body: `{"StatusCode":11232,"StatusMessage":"frequency limited"}`}, time.Minute}},
		receiver.DingTalk:   {{receiverstest.Fault{Body: `{"errcode":130101,"errmsg":"send too fast, exceed 20 times per minute"}`}, 10 * time.Minute}},
		receiver.WeCom:      {{receiverstest.Fault{Body: `{"errcode":45009,"errmsg":"api freq out of limit"}`}, time.Minute}},
		receiver.Teams:      {{receiverstest.Fault{Status: 429, Body: `{"error":{"code":"TooManyRequests","message":"Rate limit is exceeded. Try again in 17 seconds."}}`}, time.Minute}},
		receiver.Mattermost: {{receiverstest.Fault{Status: 429, Body: "limit exceeded\n", Header: http.Header{"Retry-After": {"1"}}}, time.Second}},
		receiver.Discord: {
			{receiverstest.Fault{Status: 429, Body: `{"message":"You are being rate limited.","retry_after":1.5,"global":false}`, Header: http.Header{"Retry-After": {"2"}}}, 1500 * time.Millisecond},
			{receiverstest.Fault{Status: 429, Body: `{"message":"You are being rate limited.","retry_after":64.57,"global":true}`}, 64570 * time.Millisecond},
			{receiverstest.Fault{Status: 429, Body: `<html>error 1015</html>`, Header: http.Header{"Retry-After": {"3000"}}}, 50 * time.Minute},
		},
		receiver.Webhook: {
			{receiverstest.Fault{Status: 429, Header: http.Header{"Retry-After": {"Mon, 30 Nov 2026 12:02:00 GMT"}}}, 2 * time.Minute},
			{receiverstest.Fault{Status: 429, Header: http.Header{"Retry-After": {"9999999999999999999"}}}, time.Hour},
			{receiverstest.Fault{Status: 429, Header: http.Header{"Retry-After": {"soon"}}}, time.Minute},
		},
	}
	for _, kind := range receiver.Kinds() {
		if kind == receiver.Email {
			continue
		}
		for i, c := range append(cases[kind], status) {
			t.Run(fmt.Sprintf("%s/%d", kind, i), func(t *testing.T) {
				r := newRig(t, kind)
				r.fail(c.fault)
				e := r.refused(notice())
				if after, again := e.Again(); !again || after != c.after || e.Mendable() || e.Silent() {
					t.Errorf("%v: again %v after %s, want after %s", e, again, after, c.after)
				}
				r.clock.advance(c.after - time.Millisecond)
				if after, again := r.refused(notice()).Again(); !again || after != time.Millisecond {
					t.Errorf("again %v after %s", again, after)
				}
				if n := r.bots.Requests(kind); n != 1 {
					t.Errorf("%d requests were sent before that", n)
				}
				r.clock.advance(time.Millisecond)
				r.sent(notice())
			})
		}
	}
}

// A clock that is set back stops nothing for longer than the receiver asked for.
func TestClockSetBack(t *testing.T) {
	r := newRig(t, receiver.Discord)
	r.fail(receiverstest.Fault{Status: 429, Header: http.Header{"Retry-After": {"17"}}})
	_ = r.refused(notice())
	r.clock.advance(-24 * time.Hour)
	if after, _ := r.refused(notice()).Again(); after != 17*time.Second {
		t.Errorf("after %s", after)
	}
}

// Discord says with each message how many more it takes.
func TestDiscordExhausted(t *testing.T) {
	r := newRig(t, receiver.Discord)
	r.fail(receiverstest.Fault{Body: `{"id":"1"}`, Header: http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset-After": {"1.25"}}})
	r.sent(notice())
	if after, again := r.refused(notice()).Again(); !again || after != 1250*time.Millisecond {
		t.Errorf("again %v after %s", again, after)
	}
}

// What each code of each API asks for.
func TestCodes(t *testing.T) {
	const again, mend, drop = "again", "mend", "drop"
	for _, c := range []struct {
		kind   string
		status int
		body   string
		code   string
		want   string
		silent bool
		advice string
	}{
		{kind: receiver.Feishu, body: `{"code":19001,"msg":"param invalid: incoming webhook access token invalid"}`, code: "19001", want: mend, advice: "to url"},
		{kind: receiver.Feishu, body: `{"code":19021,"msg":"sign match fail"}`, code: "19021", want: mend, advice: "clock"},
		{kind: receiver.Feishu, body: `{"code":19022,"msg":"Ip Not Allowed"}`, code: "19022", want: mend, advice: "IP whitelist"},
		{kind: receiver.Feishu, body: `{"code":19024,"msg":"Key Words Not Found"}`, code: "19024", want: mend, advice: "keywords"},
		{kind: receiver.Feishu, status: 400, body: `{"code":9499,"msg":"Bad Request","data":{}}`, code: "9499", want: drop},
		{kind: receiver.Feishu, body: `{"code":1,"msg":"new"}`, code: "1", want: drop},
		{kind: receiver.Feishu, status: 500, body: `{"code":1,"msg":"new"}`, code: "1", want: again, silent: true},
		{kind: receiver.Feishu, body: `{"msg":"no code"}`, code: "unexpected_answer", want: again, silent: true},
		{kind: receiver.DingTalk, body: `{"errcode":-1,"errmsg":"系统繁忙"}`, code: "-1", want: again},
		{kind: receiver.DingTalk, body: `{"errcode":310000,"errmsg":"sign not match"}`, code: "310000", want: mend, advice: "SEC…"},
		{kind: receiver.DingTalk, body: `{"errcode":310000,"errmsg":"invalid timestamp"}`, code: "310000", want: mend, advice: "clock"},
		{kind: receiver.DingTalk, body: `{"errcode":310000,"errmsg":"keywords not in content"}`, code: "310000", want: mend, advice: "keywords"},
		{kind: receiver.DingTalk, body: `{"errcode":310000,"errmsg":"ip 10.1.1.1 not in whitelist"}`, code: "310000", want: mend, advice: "IP addresses"},
		{kind: receiver.DingTalk, body: `{"errcode":310000,"errmsg":"description:机器人发送签名不匹配;solution:请确认签名和生成签名的时间戳必须都放在调用的网址中，请确认机器人的密钥加密和填写正确;"}`, code: "310000", want: mend, advice: "SEC…"},
		{kind: receiver.DingTalk, body: `{"errcode":310000,"errmsg":"错误描述:关键词不匹配;解决方案:请联系群管理员查看此机器人的关键词，并在发送的信息中包含此关键词;"}`, code: "310000", want: mend, advice: "keywords"},
		{kind: receiver.DingTalk, body: `{"errcode":310000,"errmsg":"description:机器人发送签名过期;solution:签名生成时间和发送时间请保持在 3600000ms 以内;"}`, code: "310000", want: mend, advice: "clock"},
		{kind: receiver.DingTalk, body: `{"errcode":310000,"errmsg":"new"}`, code: "310000", want: mend},
		{kind: receiver.DingTalk, body: `{"errcode":300001,"errmsg":"token is not exist"}`, code: "300001", want: mend},
		{kind: receiver.DingTalk, body: `{"errcode":400013,"errmsg":"群已被解散"}`, code: "400013", want: mend},
		{kind: receiver.DingTalk, body: `{"errcode":400102,"errmsg":"机器人已停用"}`, code: "400102", want: mend},
		{kind: receiver.DingTalk, body: `{"errcode":430101,"errmsg":"含有不安全的外链"}`, code: "430101", want: drop},
		{kind: receiver.DingTalk, body: `{"errcode":460101,"errmsg":"message too long"}`, code: "460101", want: drop},
		{kind: receiver.DingTalk, body: `{"errcode":40035,"errmsg":"缺少参数 json"}`, code: "40035", want: drop},
		{kind: receiver.WeCom, body: `{"errcode":-1,"errmsg":"system busy"}`, code: "-1", want: again},
		{kind: receiver.WeCom, body: `{"errcode":93000,"errmsg":"invalid webhook url"}`, code: "93000", want: mend, advice: "to url"},
		{kind: receiver.WeCom, body: `{"errcode":40058,"errmsg":"exceed max length"}`, code: "40058", want: drop},
		{kind: receiver.Teams, status: 400, body: `{"error":{"code":"WorkflowTriggerIsNotEnabled","message":"state 'Deleted'"}}`, code: "WorkflowTriggerIsNotEnabled", want: mend, advice: "turn it on"},
		{kind: receiver.Teams, status: 404, body: `{"error":{"code":"WorkflowNotFound","message":"x"}}`, code: "WorkflowNotFound", want: mend},
		{kind: receiver.Teams, status: 401, body: `{"error":{"code":"DirectApiAuthorizationRequired","message":"x"}}`, code: "DirectApiAuthorizationRequired", want: mend, advice: "anyone"},
		{kind: receiver.Teams, status: 401, body: `{"error":{"code":"New","message":"x"}}`, code: "New", want: mend},
		{kind: receiver.Teams, status: 413, body: `Request Entity too large`, code: "http_413", want: drop},
		{kind: receiver.Teams, status: 400, body: `{"error":{"code":"TriggerInputSchemaMismatch","message":"x"}}`, code: "TriggerInputSchemaMismatch", want: mend, advice: "schema"},
		{kind: receiver.Teams, status: 200, body: `{"error":{"code":"WorkflowDisabled","message":"x"}}`, code: "WorkflowDisabled", want: mend},
		{kind: receiver.Mattermost, status: 400, body: `{"id":"web.incoming_webhook.invalid.app_error","message":"Invalid webhook."}`, code: "web.incoming_webhook.invalid.app_error", want: mend},
		{kind: receiver.Mattermost, status: 501, body: `{"id":"web.incoming_webhook.disabled.app_error","message":"disabled"}`, code: "web.incoming_webhook.disabled.app_error", want: mend, advice: "System Console"},
		{kind: receiver.Mattermost, status: 404, body: `{"id":"web.incoming_webhook.channel.app_error","message":"x"}`, code: "web.incoming_webhook.channel.app_error", want: mend, advice: "channel"},
		{kind: receiver.Mattermost, status: 400, body: `{"id":"web.incoming_webhook.text.length.app_error","message":"x"}`, code: "web.incoming_webhook.text.length.app_error", want: drop},
		{kind: receiver.Mattermost, body: `<html>sign in</html>`, code: "unexpected_answer", want: again, silent: true},
		{kind: receiver.Discord, status: 404, body: `{"message":"Unknown Webhook","code":10015}`, code: "10015", want: mend},
		{kind: receiver.Discord, status: 401, body: `{"message":"Invalid Webhook Token","code":50027}`, code: "50027", want: mend},
		{kind: receiver.Discord, status: 400, body: `{"message":"Invalid Form Body","code":50035}`, code: "50035", want: drop},
		{kind: receiver.Discord, status: 403, body: `{"message":"new","code":1}`, code: "1", want: mend},
		{kind: receiver.Discord, status: 502, body: `<html>cloudflare</html>`, code: "http_502", want: again, silent: true},
		{kind: receiver.Webhook, status: 401, code: "http_401", want: mend, advice: "secret"},
		{kind: receiver.Webhook, status: 410, code: "http_410", want: mend},
		{kind: receiver.Webhook, status: 400, code: "http_400", want: drop},
		{kind: receiver.Webhook, status: 413, code: "http_413", want: drop},
		{kind: receiver.Webhook, status: 408, code: "http_408", want: again},
		{kind: receiver.Email, status: 535, body: "bad", code: "smtp_535", want: mend, advice: "password"},
		{kind: receiver.Email, status: 534, body: "bad", code: "smtp_534", want: mend},
		{kind: receiver.Email, status: 550, body: "no such user", code: "smtp_550", want: mend, advice: "from and to"},
		{kind: receiver.Email, status: 450, body: "greylisted", code: "smtp_450", want: again},
		{kind: receiver.Email, status: 451, body: "later", code: "smtp_451", want: again},
		{kind: receiver.Email, status: 421, body: "closing", code: "smtp_421", want: again, silent: true},
		{kind: receiver.Email, status: 442, body: "new", code: "smtp_442", want: again},
		{kind: receiver.Email, status: 552, body: "too long", code: "smtp_552", want: drop},
		{kind: receiver.Email, status: 554, body: "spam", code: "smtp_554", want: mend},
		{kind: receiver.Email, status: 559, body: "new", code: "smtp_559", want: drop},
	} {
		t.Run(c.kind+"/"+c.code+"/"+c.body, func(t *testing.T) {
			r := newRig(t, c.kind)
			r.fail(receiverstest.Fault{Status: c.status, Body: c.body})
			e := r.refused(notice())
			got := drop
			if after, ok := e.Again(); ok {
				got = again
				if after <= 0 || after > time.Hour {
					t.Errorf("after %s", after)
				}
			} else if e.Mendable() {
				got = mend
			}
			if got != c.want || e.Code != c.code || e.Silent() != c.silent || !strings.Contains(e.Advice(), c.advice) || event.Transient(e) != (c.want == again) {
				t.Errorf("%v: code %s, %s, silent %v; want code %s, %s, silent %v, advice %q", e, e.Code, got, e.Silent(), c.code, c.want, c.silent, c.advice)
			}
			if e.Receiver != "ops" || e.Kind != c.kind || !strings.HasPrefix(e.Error(), "receiver ops ("+c.kind+"): "+c.code+": ") {
				t.Errorf("error: %v", e)
			}
			r.clock.advance(time.Hour)
			r.sent(notice()) // one failure stops nothing
		})
	}
}

// A receiver that fails, or is not one, is tried again later; it counts as silent.
func TestFailures(t *testing.T) {
	for name, f := range map[string]receiverstest.Fault{
		"500": {Status: 500}, "502": {Status: 502, Body: "<html>bad gateway</html>"}, "503": {Status: 503}, "504": {Status: 504},
		"cut": {Cut: true}, "cut after the effect": {Cut: true, AfterEffect: true},
		"no JSON": {Body: "<html>sign in</html>", Header: http.Header{"Content-Type": {"text/html"}}},
		"endless": {Body: strings.Repeat(" ", 1<<20), Header: http.Header{"Content-Type": {"text/html"}}},
	} {
		t.Run(name, func(t *testing.T) {
			everyKind(t, func(t *testing.T, r *rig) {
				if r.kind == receiver.Webhook && f.Status == 0 && !f.Cut {
					t.Skip("any success is one")
				}
				r.fail(f)
				e := r.refused(notice())
				if after, again := e.Again(); !again || after != 30*time.Second || !e.Silent() || e.Mendable() {
					t.Errorf("%v: again %v after %s, silent %v", e, again, after, e.Silent())
				}
			}, receiver.Email)
		})
	}
}

// A receiver that does not answer holds nobody: neither beyond the client's time, nor when
// the process stops.
func TestHanging(t *testing.T) {
	hang := receiverstest.Fault{Hang: true}
	everyKind(t, func(t *testing.T, r *rig) {
		connect := func(timeout time.Duration) {
			client, err := receivers.New(r.definition, receivers.Config{
				HTTPClient: &http.Client{Transport: r.connection}, Now: r.clock.now, Timeout: timeout, RootCAs: roots(r),
			})
			if err != nil {
				t.Fatal(err)
			}
			r.Client = client
		}
		connect(time.Hour)
		r.fail(hang)
		ctx, stop := context.WithCancel(t.Context())
		go func() {
			<-r.hanging()
			stop()
		}()
		err := r.Send(ctx, notice())
		if !errors.Is(err, context.Canceled) || !event.Transient(err) {
			t.Errorf("when the process stops: %v", err)
		}

		r.fail(hang)
		connect(50 * time.Millisecond)
		err = r.Send(t.Context(), notice())
		e, _ := errors.AsType[*receivers.Error](err)
		if e == nil || !e.Silent() || !event.Transient(err) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after the client's time: %v", err)
		}
	})
}

// Nobody listens there: the error says so, and is tried again.
func TestUnreachable(t *testing.T) {
	everyKind(t, func(t *testing.T, r *rig) {
		if r.mail != nil {
			other, err := receiverstest.NewMail(receiverstest.MailOptions{})
			if err != nil {
				t.Fatal(err)
			}
			r.definition.Port = other.Port()
			_ = other.Close()
		} else {
			u, _ := url.Parse(r.bots.URL(r.kind))
			closed := httptest.NewServer(http.NotFoundHandler())
			u.Host = strings.TrimPrefix(closed.URL, "http://")
			closed.Close()
			r.write(r.definition.URLFile, u.String())
		}
		r.connect()
		e := r.refused(notice())
		if _, again := e.Again(); !again || !e.Silent() || e.Code != "network" || !strings.Contains(e.Error(), "connection refused") || strings.Contains(e.Error(), "Post") {
			t.Errorf("error: %v", e)
		}
	})
}

// A mail that was accepted is not sent again, whatever fails after that.
func TestMailIsNotRepeated(t *testing.T) {
	r := newRig(t, receiver.Email)
	r.mail.Fail(receiverstest.Fault{AfterEffect: true, Cut: true})
	r.sent(notice())
	if n := len(r.mail.Messages()); n != 1 {
		t.Errorf("%d mails", n)
	}
}

// Whatever redirects a request, the message and the tokens go nowhere else.
func TestRedirectsAreNotFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			everyKind(t, func(t *testing.T, r *rig) {
				var elsewhere atomic.Int64
				thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					elsewhere.Add(1)
					_, _ = w.Write([]byte(`{"code":0,"errcode":0,"id":"1"}`))
				}))
				defer thief.Close()
				r.fail(receiverstest.Fault{Redirect: thief.URL, Status: status})
				e := r.refused(notice())
				if _, again := e.Again(); again || !e.Mendable() || !strings.Contains(e.Advice(), "url") {
					t.Errorf("error: %v", e)
				}
				if n := elsewhere.Load(); n != 0 {
					t.Errorf("%d requests were sent elsewhere", n)
				}
			}, receiver.Email)
		})
	}
}

// Whatever fails, and whatever the receiver repeats of the request, no secret is in an error or in
// the log.
func TestNoSecretsLeak(t *testing.T) {
	everyKind(t, func(t *testing.T, r *rig) {
		path, right := r.secretFile()
		former := strings.Replace(r.wrong(), "xyz", "former", 1)
		login := func(password string) string {
			return base64.StdEncoding.EncodeToString([]byte("\x00" + mailUser + "\x00" + password))
		}
		var secrets []string
		if r.mail != nil {
			secrets = []string{mailPassword, login(mailPassword), base64.StdEncoding.EncodeToString([]byte(mailPassword)), former}
		} else {
			secrets = append(r.bots.Secrets(r.kind), former)
		}
		for _, s := range slices.Clone(secrets) {
			secrets = append(secrets, url.QueryEscape(s), url.PathEscape(s))
		}

		var said []string
		check := func(name string) {
			t.Helper()
			err := r.Send(t.Context(), notice())
			if err == nil {
				t.Errorf("%s: no error", name)
			}
			for ; err != nil; err = errors.Unwrap(err) {
				said = append(said, fmt.Sprintf("%s: %v %+v %v %#v", name, err, err, r.definition, r.definition))
			}
			r.clock.advance(time.Hour)
		}
		r.write(path, former)
		check("former secret")
		r.write(path, right)
		for _, secret := range secrets {
			for _, status := range []int{400, 401, 404, 429, 500} {
				if r.mail != nil {
					status = map[int]int{400: 535, 401: 550, 404: 554, 429: 450, 500: 451}[status]
				}
				bodies := []string{"Q"}
				if r.mail == nil {
					bodies = append(bodies, `{"code":1,"msg":"Q","errcode":1,"errmsg":"Q","id":"Q","message":"Q","error":{"code":"Q","message":"Q"}}`, `{"code":"Q","errcode":"Q"}`)
				}
				for _, body := range bodies {
					r.fail(receiverstest.Fault{Status: status, Body: strings.ReplaceAll(body, "Q", "the request was "+secret)})
					check(fmt.Sprint("repeated with ", status))
				}
			}
		}
		if r.mail == nil {
			for name, f := range map[string]receiverstest.Fault{"cut": {Cut: true}, "redirect": {Redirect: r.bots.URL(r.kind)}} {
				r.fail(f)
				check(name)
			}
		}
		r.write(path, "one\ntwo "+former)
		r.sent(notice())
		r.unreachable()
		check("unreachable")
		r.definition.Name = ""
		_, err := receivers.New(r.definition, receivers.Config{Now: r.clock.now})
		said = append(said, fmt.Sprint(err), r.log.String())

		for _, text := range said {
			for _, secret := range secrets {
				if strings.Contains(text, secret) {
					t.Errorf("%q is in: %s", secret, text)
				}
			}
		}
		if len(said) < 10 {
			t.Errorf("only %d errors were checked", len(said))
		}
	})
}

// unreachable stops the receiver.
func (r *rig) unreachable() {
	r.connection.CloseIdleConnections()
	if r.mail != nil {
		_ = r.mail.Close()
		return
	}
	_ = r.bots.Close()
}

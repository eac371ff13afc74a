package redis

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	for _, tc := range []struct {
		url  string
		want serverURL
	}{
		{"redis://h", serverURL{addrs: []string{"h:6379"}}},
		{"redis://h/", serverURL{addrs: []string{"h:6379"}}},
		{"redis://h:1/15", serverURL{addrs: []string{"h:1"}, db: 15}},
		{"rediss://[::1]:7", serverURL{tls: true, addrs: []string{"[::1]:7"}}},
		{"rediss://[::1]", serverURL{tls: true, addrs: []string{"[::1]:6379"}}},
		{"redis://:pw@10.0.0.1", serverURL{addrs: []string{"10.0.0.1:6379"}, password: "pw"}},
		{"redis://me:pw@h", serverURL{addrs: []string{"h:6379"}, user: "me", password: "pw"}},
		{"redis://m%40e:%25%2f@h", serverURL{addrs: []string{"h:6379"}, user: "m@e", password: "%/"}},
		{"redis://me:p:/?#@,w@h", serverURL{addrs: []string{"h:6379"}, user: "me", password: "p:/?#@,w"}},
		{"redis+cluster://a,b:2,[::3]:3", serverURL{mode: cluster, addrs: []string{"a:6379", "b:2", "[::3]:3"}}},
		{"rediss+cluster://a/0", serverURL{mode: cluster, tls: true, addrs: []string{"a:6379"}}},
		{"redis+sentinel://a,b:2/name", serverURL{mode: sentinel, addrs: []string{"a:26379", "b:2"}, master: "name"}},
		{
			"rediss+sentinel://me:pw@a/my%2Fname/3?sentinel_username=you&sentinel_password=p%26w%40",
			serverURL{
				mode: sentinel, tls: true, addrs: []string{"a:26379"}, user: "me", password: "pw", master: "my/name", db: 3,
				sentinelUser: "you", sentinelPassword: "p&w@",
			},
		},
	} {
		got, err := parseURL(tc.url)
		if err != nil || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %+v, %v; want %+v", tc.url, got, err, tc.want)
		}
		for _, secret := range []string{tc.want.password, tc.want.sentinelPassword} {
			if secret != "" && strings.Contains(got.String(), secret) {
				t.Errorf("%s: %q has the password", tc.url, got)
			}
		}
	}
}

func TestParseURLErrors(t *testing.T) {
	const schemes = "the scheme is none of redis://, redis+cluster://, redis+sentinel://, rediss://, rediss+cluster://, rediss+sentinel://"
	for _, tc := range []struct{ url, want string }{
		{"", schemes},
		{"h:6379", schemes},
		{"redis:s3cret@h", schemes},
		{"s3cret://h", schemes},
		{"http://:s3cret@h", schemes},
		{"redis://", `the host "" is none`},
		{"redis://:s3cret@", `the host "" is none`},
		{"redis://:s3cret@/0", `the host "" is none`},
		{"redis://:s3cret@:6379", `the host "" is none`},
		{"redis://::1", `the host ":" is none: write host:port, and an IPv6 address in brackets`},
		{"redis://[::1", `the host "[::1" is no IPv6 address in brackets`},
		{"redis://[h]:1", `the host "[h]:1" is no IPv6 address in brackets`},
		{"redis://a b", `the host "a b" is none`},
		{"redis://a,b", "there are 2 hosts, and this scheme takes one"},
		{"redis+cluster://:s3cret@a,,b", `the host "" is none`},
		{"redis://h:0", `the port "0" of the host "h" is none: want 1 to 65535`},
		{"redis://h:", `the port "" of the host "h" is none`},
		{"redis://:s3cret@h:65536", `the port "65536" of the host "h" is none`},
		{"redis+cluster://a:1,b:x", `the port "x" of the host "b" is none`},
		{"redis://h/x", `the db "x" is no number`},
		{"redis://h/-1", `the db "-1" is no number`},
		{"redis://:s3cret@h/1/2", `the db "1/2" is no number`},
		{"redis+cluster://h/1", `the db "1" cannot be: a Cluster has only 0`},
		{"redis+sentinel://:s3cret@h", "the master's name is missing"},
		{"redis+sentinel://h/", "the master's name is missing"},
		{"redis+sentinel://h//1", "the master's name is missing"},
		{"redis+sentinel://h/name/x", `the db "x" is no number`},
		{"redis+sentinel://h/%zz", "the master's name is missing or wrong"},
		{"redis://s3cret@h", "there is no password before the @"},
		{"redis://me:@h", "there is no password before the @"},
		{"redis://:s3cret%@h", "a % in the user or the password"},
		{"redis://:s3cret%zz@h", "a % in the user or the password"},
		{"redis://h?db=1", `the parameter "db" is not known`},
		{"redis://h?sentinel_password=s3cret", `the parameter "sentinel_password" is not known`},
		{"redis+sentinel://h/name?sentinel_password=s3cret%", "the part after the ? is not of the form"},
	} {
		_, err := parseURL(tc.url)
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: error %v, want %q", tc.url, err, tc.want)
		}
	}
}

package auth_test

import (
	"testing"

	"github.com/pipesteward/pipesteward/handlers/auth"
)

func TestProxyHeaders(t *testing.T) {
	t.Parallel()
	r := newRig(t, auth.Config{
		Kind:  auth.KindProxyHeader,
		Proxy: auth.ProxyConfig{UserHeader: "x-forwarded-user", GroupsHeader: "X-Forwarded-Groups", Trusted: []string{"10.1.0.0/16", "fd00::7", "192.0.2.9"}},
		Roles: auth.Roles{Readers: []string{"rita"}, ReaderGroups: []string{"dev"}, Operators: []string{"ann"}, OperatorGroups: []string{"platform/ops"}},
	})
	const user, groups = "X-Forwarded-User", "X-Forwarded-Groups"
	for _, c := range []struct {
		name   string
		from   string
		header []string
		read   int
		change int
		says   string // of the answer to the change
	}{
		{"an operator", "10.1.2.3", []string{user, "ann"}, 200, 200, "it was ann"},
		{"a member of an operators' group", "10.1.2.3", []string{user, "bob", groups, "dev, platform/ops"}, 200, 200, "it was bob"},
		{"a reader", "10.1.2.3", []string{user, "rita"}, 200, 403, `rita\" has the role read, and this needs the role operate: --admin-operators`},
		{"a member of a readers' group", "10.1.2.3", []string{user, "carl", groups, "dev"}, 200, 403, "the role read"},
		{"somebody else", "10.1.2.3", []string{user, "eve", groups, "platform,ops"}, 403, 403, "no role"},
		{"who calls herself everybody", "10.1.2.3", []string{user, "*"}, 403, 403, "no role"},
		{"nobody", "10.1.2.3", nil, 401, 401, "gave no user in the header X-Forwarded-User"},
		{"an empty name", "10.1.2.3", []string{user, "  "}, 401, 401, "gave no user"},
		{"a single proxy", "192.0.2.9", []string{user, "ann"}, 200, 200, "it was ann"},
		{"a proxy of IPv6", "fd00::7", []string{user, "ann"}, 200, 200, "it was ann"},
		{"a proxy of IPv4 in IPv6", "::ffff:10.1.2.3", []string{user, "ann"}, 200, 200, "it was ann"},
		{"not a proxy", "10.2.0.1", []string{user, "ann"}, 403, 403, "10.2.0.1 is no trusted proxy"},
		{"not a proxy, though it says so", "10.2.0.1", []string{user, "ann", "X-Forwarded-For", "10.1.2.3", "X-Real-IP", "10.1.2.3", "Forwarded", "for=10.1.2.3"}, 403, 403, "no trusted proxy"},
		{"loopback, which is not named", "127.0.0.1", []string{user, "ann"}, 403, 403, "no trusted proxy"},
		{"a client's header beside the proxy's", "10.1.2.3", []string{user, "ann", user, "eve"}, 401, 401, "X-Forwarded-User is there twice"},
		{"a client's groups beside the proxy's", "10.1.2.3", []string{user, "eve", groups, "platform/ops", groups, "dev"}, 401, 401, "X-Forwarded-Groups is there twice"},
	} {
		r.wants(c.name, c.read, "", c.from, "/read", c.header...)
		r.wants(c.name, c.change, c.says, c.from, "/operate", c.header...)
		r.wants(c.name, 200, "it was somebody", c.from, "/open", c.header...)
	}
}

// The proxy is on this machine unless others are named.
func TestProxyOnThisMachine(t *testing.T) {
	t.Parallel()
	r := newRig(t, auth.Config{Kind: auth.KindProxyHeader, Proxy: auth.ProxyConfig{UserHeader: "X-User"}, Roles: auth.Roles{Operators: []string{"*"}}})
	r.wants("loopback", 200, "it was ann", "127.0.0.1", "/operate", "X-User", "ann")
	r.wants("loopback of IPv6", 200, "it was ann", "::1", "/operate", "X-User", "ann")
	r.wants("elsewhere", 403, "no trusted proxy", "10.0.0.1", "/operate", "X-User", "ann")
	r.wants("nobody", 401, "", "127.0.0.1", "/read")
}

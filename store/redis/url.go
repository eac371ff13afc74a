package redis

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// serverURL is the parsed URL of a Redis.
type serverURL struct {
	mode     mode
	tls      bool
	addrs    []string // host:port
	user     string
	password string
	master   string // the name that the Sentinels have for it
	db       int

	sentinelUser     string
	sentinelPassword string
}

type mode int

const (
	single mode = iota
	sentinel
	cluster
)

// schemes maps the schemes of a URL to what they mean.
var schemes = map[string]serverURL{
	"redis":           {mode: single},
	"rediss":          {mode: single, tls: true},
	"redis+sentinel":  {mode: sentinel},
	"rediss+sentinel": {mode: sentinel, tls: true},
	"redis+cluster":   {mode: cluster},
	"rediss+cluster":  {mode: cluster, tls: true},
}

// CheckURL returns what is wrong with the URL of a Redis, nil for nothing. It connects to
// nothing.
func CheckURL(url string) error {
	_, err := parseURL(url)
	return err
}

// parseURL parses a URL. Its errors say which part is invalid, and never contain
// the password. net/url takes no list of hosts, and its errors contain the URL.
func parseURL(raw string) (serverURL, error) {
	scheme, rest, found := strings.Cut(raw, "://")
	u, known := schemes[scheme]
	if !found || !known {
		return serverURL{}, fmt.Errorf("the scheme is none of %s", strings.Join(slices.Sorted(maps.Keys(schemes)), "://, ")+"://")
	}
	// The last @ ends the password, which may contain others.
	if i := strings.LastIndex(rest, "@"); i >= 0 {
		if err := u.setUser(rest[:i]); err != nil {
			return serverURL{}, err
		}
		rest = rest[i+1:]
	}
	rest, query, _ := strings.Cut(rest, "?")
	hosts, path, _ := strings.Cut(rest, "/")
	if err := cmp.Or(u.setHosts(hosts), u.setPath(path), u.setQuery(query)); err != nil {
		return serverURL{}, err
	}
	return u, nil
}

// setUser parses user:password.
func (u *serverURL) setUser(s string) error {
	user, password, _ := strings.Cut(s, ":")
	if password == "" {
		return errors.New("there is no password before the @: write user:password@host or :password@host")
	}
	var err, err2 error
	u.user, err = url.PathUnescape(user)
	u.password, err2 = url.PathUnescape(password)
	if err != nil || err2 != nil { // they contain the password
		return errors.New("a % in the user or the password is not followed by two hex digits: write it as %25")
	}
	return nil
}

func (u *serverURL) setHosts(s string) error {
	hosts := strings.Split(s, ",")
	if u.mode == single && len(hosts) > 1 {
		return fmt.Errorf("there are %d hosts, and this scheme takes one: several are for redis+sentinel:// and redis+cluster://", len(hosts))
	}
	for _, h := range hosts {
		addr, err := u.hostPort(h)
		if err != nil {
			return err
		}
		u.addrs = append(u.addrs, addr)
	}
	return nil
}

// hostPort checks host:port, and adds the default port if there is none.
func (u *serverURL) hostPort(s string) (string, error) {
	host, port := s, "6379"
	if u.mode == sentinel {
		port = "26379"
	}
	if i := strings.LastIndex(s, ":"); i > strings.LastIndex(s, "]") {
		host, port = s[:i], s[i+1:]
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, closed := strings.CutSuffix(inner, "]")
		if !closed || net.ParseIP(inner) == nil {
			return "", fmt.Errorf("the host %q is no IPv6 address in brackets", s)
		}
		host = inner
	} else if host == "" || strings.ContainsAny(host, ":[]% \t\r\n#\\\"<>") {
		return "", fmt.Errorf("the host %q is none: write host:port, and an IPv6 address in brackets", host)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("the port %q of the host %q is none: want 1 to 65535", port, host)
	}
	return net.JoinHostPort(host, port), nil
}

// setPath parses the master's name and the database.
func (u *serverURL) setPath(path string) error {
	db := strings.TrimSuffix(path, "/")
	switch u.mode {
	case sentinel:
		var name string
		name, db, _ = strings.Cut(db, "/")
		master, err := url.PathUnescape(name)
		if err != nil || master == "" {
			return errors.New("the master's name is missing or wrong: write redis+sentinel://host:port/NAME, as the Sentinels' configuration has it")
		}
		u.master = master
	case cluster:
		if db != "" && db != "0" {
			return fmt.Errorf("the db %q cannot be: a Cluster has only 0", db)
		}
	case single:
	}
	if db == "" {
		return nil
	}
	n, err := strconv.ParseUint(db, 10, 31)
	if err != nil {
		return fmt.Errorf("the db %q is no number", db)
	}
	u.db = int(n)
	return nil
}

// setQuery parses the credentials for the Sentinels.
func (u *serverURL) setQuery(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil { // it contains the password
		return errors.New("the part after the ? is not of the form name=value&…, with %, & and @ in values written as %25, %26 and %40")
	}
	for name, v := range values {
		value := v[len(v)-1]
		switch {
		case name == "sentinel_username" && u.mode == sentinel:
			u.sentinelUser = value
		case name == "sentinel_password" && u.mode == sentinel:
			u.sentinelPassword = value
		default:
			return fmt.Errorf("the parameter %q is not known: there are sentinel_username and sentinel_password, for redis+sentinel://", name)
		}
	}
	return nil
}

// String returns the mode and the addresses, without user and password.
func (u serverURL) String() string {
	hosts := strings.Join(u.addrs, ",")
	switch u.mode {
	case sentinel:
		return fmt.Sprintf("Redis %q of the Sentinels %s", u.master, hosts)
	case cluster:
		return "Redis Cluster " + hosts
	case single:
	}
	return "Redis " + hosts
}

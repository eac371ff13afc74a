package redact

import "strings"

// URL returns a URL without the secrets that it may contain, for an error or a list: user
// and password, the values of the query, the fragment, and what looks like a secret
// elsewhere. The text may be anything that a person can take for a URL: one without a
// scheme, or one that can't be parsed, because a password has a # or a %. The address of a
// repository keeps its user git. A second call changes nothing.
func URL(text string) string {
	scheme, rest, found := strings.Cut(text, "://")
	if found {
		scheme += "://"
	} else {
		scheme, rest = "", text
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 && (!found || endsUser(rest, at)) && rest[:at] != "git" {
		// The last @ ends the password, which may contain others.
		rest = masked + rest[at:]
	}
	rest, fragment, found := strings.Cut(rest, "#")
	if found {
		fragment = "#" + hidden(fragment)
	}
	path, query, found := strings.Cut(rest, "?")
	if found && query != "" {
		parts := strings.Split(query, "&")
		for i, part := range parts {
			if name, value, named := strings.Cut(part, "="); named {
				parts[i] = name + "=" + hidden(value)
			} else {
				parts[i] = hidden(part)
			}
		}
		path += "?" + strings.Join(parts, "&")
	}
	return Secrets(scheme + path + fragment)
}

// endsUser reports whether the @ may end the user of a URL whose authority begins rest. An
// @ behind a host without a port does not: it belongs to the path or the query.
func endsUser(rest string, at int) bool {
	end := strings.IndexAny(rest, "/?#")
	return end < 0 || at < end || strings.ContainsAny(rest[:end], "@:")
}

// hidden returns what is shown of a text that may be a secret.
func hidden(text string) string {
	if text == "" {
		return ""
	}
	return masked
}

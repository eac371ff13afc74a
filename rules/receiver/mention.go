package receiver

import (
	"fmt"
	"strconv"
	"strings"
)

// Everyone notifies all members of a channel.
const Everyone = "@all"

// CanMention reports whether an entry of mention names somebody in a medium, other than
// [Everyone].
func CanMention(kind, id string) bool {
	names := kinds[kind].names
	return names != nil && names(id)
}

// CheckMention returns what is wrong with an entry of mention for a receiver of a kind,
// nil for nothing.
func CheckMention(kind, id string) error {
	k := kinds[kind]
	switch {
	case k.names == nil:
		return fmt.Errorf("%s mentions nobody: leave mention out", kind)
	case id == Everyone && kind == Teams:
		return fmt.Errorf("%s can't notify everyone: name people by their %s", kind, k.people)
	case id != Everyone && !k.names(id):
		everyone := ", or " + Everyone
		if kind == Teams {
			everyone = ""
		}
		return fmt.Errorf("%s names people by %s%s, not as %q", kind, k.people, everyone, id)
	}
	return nil
}

// isOpenID reports whether text is an open_id of Feishu.
func isOpenID(id string) bool { return strings.HasPrefix(id, "ou_") && isWord(id) }

// isUserName reports whether text is the name of a user in Mattermost, and none that
// notifies all members of a channel.
func isUserName(name string) bool {
	name = strings.ToLower(name)
	switch strings.TrimRight(name, "._-") {
	case "all", "channel", "here":
		return false
	}
	return isWord(name)
}

// isWord reports whether text consists of letters and digits of ASCII and of the
// characters that ids and names of users have besides; there is no markup in it.
func isWord(text string) bool {
	if text == "" || len(text) > 128 {
		return false
	}
	for _, c := range []byte(text) {
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && strings.IndexByte("_-.", c) < 0 {
			return false
		}
	}
	return true
}

// isAccount reports whether text is an id of a user, which may be a mail address.
func isAccount(text string) bool {
	user, domain, ok := strings.Cut(text, "@")
	return isWord(strings.ReplaceAll(user, "+", ".")) && (!ok || isWord(domain))
}

// IsMobile reports whether an id is a mobile number, as in 13800000000 or
// +86-13800000000.
func IsMobile(id string) bool {
	digits := strings.TrimPrefix(id, "+")
	if country, rest, ok := strings.Cut(digits, "-"); ok && len(country) <= 4 {
		digits = country + rest
	}
	return isNumber(digits) && len(digits) >= 7 && len(digits) <= 15
}

// isNumber reports whether text is a decimal number.
func isNumber(text string) bool {
	_, err := strconv.ParseUint(text, 10, 64)
	return err == nil
}

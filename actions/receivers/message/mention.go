package message

import (
	"strconv"
	"strings"
)

// IsWord reports whether text consists of letters and digits of ASCII and of the
// characters that ids and names of users have besides; there is no markup in it.
func IsWord(text string) bool {
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

// IsAccount reports whether text is an id of a user, which may be a mail address.
func IsAccount(text string) bool {
	user, domain, ok := strings.Cut(text, "@")
	return IsWord(strings.ReplaceAll(user, "+", ".")) && (!ok || IsWord(domain))
}

// IsMobile reports whether an id is a mobile number, as in 13800000000 or
// +86-13800000000.
func IsMobile(id string) bool {
	digits := strings.TrimPrefix(id, "+")
	if country, rest, ok := strings.Cut(digits, "-"); ok && len(country) <= 4 {
		digits = country + rest
	}
	return IsNumber(digits) && len(digits) >= 7 && len(digits) <= 15
}

// IsNumber reports whether text is a decimal number.
func IsNumber(text string) bool {
	_, err := strconv.ParseUint(text, 10, 64)
	return err == nil
}

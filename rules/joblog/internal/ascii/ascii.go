// Package ascii classifies bytes of text in ASCII.
package ascii

// IsDigit reports whether a byte is a decimal digit.
func IsDigit(c byte) bool { return c >= '0' && c <= '9' }

// IsLower reports whether a byte is a lower-case letter.
func IsLower(c byte) bool { return c >= 'a' && c <= 'z' }

// IsUpper reports whether a byte is an upper-case letter.
func IsUpper(c byte) bool { return c >= 'A' && c <= 'Z' }

// IsAlnum reports whether a byte is a letter or a digit.
func IsAlnum(c byte) bool { return IsDigit(c) || IsLower(c) || IsUpper(c) }

// IsBlank reports whether a byte is white space.
func IsBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// IsQuote reports whether a byte is a quotation mark.
func IsQuote(c byte) bool { return c == '"' || c == '\'' || c == '`' }

// IsNameByte reports whether a byte may occur in a name, such as that of a
// variable.
func IsNameByte(c byte) bool { return IsAlnum(c) || c == '_' || c == '-' || c == '.' }

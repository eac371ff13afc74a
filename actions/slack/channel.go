package slack

import "strings"

// address returns the channel as chat.postMessage takes it.
func address(channel string) string {
	if isID(channel) {
		return channel
	}
	return "#" + channel
}

// isID reports whether a channel is given by its id: names have no capitals.
func isID(channel string) bool {
	return len(channel) > 8 && strings.IndexByte("CDGUW", channel[0]) >= 0 && channel == strings.ToUpper(channel)
}

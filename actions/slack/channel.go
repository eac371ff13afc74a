package slack

import "strings"

// address is the channel as chat.postMessage wants it.
func address(channel string) string {
	if isID(channel) {
		return channel
	}
	return "#" + channel
}

// isID tells a channel's id from its name: names have no capitals.
func isID(channel string) bool {
	return len(channel) > 8 && strings.IndexByte("CDGUW", channel[0]) >= 0 && channel == strings.ToUpper(channel)
}

package unknown

import (
	"regexp"
	"strings"
	"unicode"
)

const (
	// enough is how many different specific words the text of a cluster must have for a
	// class: what has one alone, such as "error: connect", is in logs of many failures.
	enough = 2
	// wordLetters is how many letters a word must have to be specific. Of a script that has
	// no blanks between words, so many letters count as a word.
	wordLetters = 3
)

// masks matches what differs between the lines of a cluster.
var masks = regexp.MustCompile(`<[^>]*>`)

// specificWords returns the words of the text of a cluster that say what failed: those that
// are left without the masks and the words that most logs have, in lower case.
func specificWords(text string) []string {
	var found []string
	seen := map[string]bool{}
	add := func(word string) {
		if word = strings.ToLower(word); !seen[word] && !everyday[word] {
			seen[word] = true
			found = append(found, word)
		}
	}
	for word := range strings.FieldsFuncSeq(masks.ReplaceAllString(text, " "), func(r rune) bool { return !unicode.In(r, unicode.L, unicode.M, unicode.N) && r != '_' }) {
		var letters []rune
		for _, r := range word {
			if unicode.IsLetter(r) {
				letters = append(letters, r)
			}
		}
		switch {
		case len(letters) < wordLetters:
		case unicode.In(letters[0], unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar):
			for ; len(letters) >= wordLetters; letters = letters[wordLetters:] {
				add(string(letters[:wordLetters]))
			}
		default:
			add(word)
		}
	}
	return found
}

// everyday are words that say nothing about a failure: those that a fifth of the logs of
// failureclass.PassingLogs have, as a test checks, and those with which programs of all
// kinds say that something failed, and how it ended.
var everyday = func() map[string]bool {
	all := map[string]bool{}
	for word := range strings.FieldsSeq(`
		a after again all an and any are at be because been before but by can cannot could couldn did didn do does doesn
		during for from had has have if in into is isn it its more most no not of off on one or other out please should some
		that the their then there this to too under until up was wasn were when where which while will with without won you your

		abort aborted aborting complete completed critical debug done end ended err error errors exception exit exited exiting
		exits fail failed failing fails failure failures fatal finish finished hint info invalid level log logged logs message
		msg nonzero note notice notified ok oops output panic pass passed problem problems raise raised reason report reported
		result results retried retries retry retrying return returned returning returns severe sorry status stderr stdout stop
		stopped success successful successfully succeeded summary terminated trace traceback tried try trying unexpected unknown
		unsuccessful warn warning warnings went wrong zero

		action bash build builds call check code command commands connect details did file files function get got host http
		https input job jobs last line lines main make makefile name nil none null number operation phase pipeline process
		program recipe request response run runner running runs script see start started step system target task test tests time
		total true false undefined url usage value version

		com example executing execution org`) {
		all[word] = true
	}
	return all
}()

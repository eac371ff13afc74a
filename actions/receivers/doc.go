// Package receivers sends messages to where teams look besides Slack: Feishu and
// Lark, DingTalk, WeCom, Microsoft Teams, Mattermost, Discord, e-mail, and any
// program, by a webhook signed as Standard Webhooks.
//
// Each message is one of its own: with the address of a bot alone, only Discord could
// edit one. None but the webhook takes an idempotency key: a message whose answer was
// lost is sent again, and may appear twice. Mails of one message have the same
// Message-ID.
//
// A message is plain data ([message.Message]); each medium escapes and shortens it as it
// needs, in its own file. What a value contains can neither notify people, nor hide
// where a link leads, nor break the markup. Where a medium documents no escape for
// its markup (DingTalk, WeCom), or has elements without any (Feishu's plain_text,
// Teams' TextRun), plain text is sent. A bare address stays one: it shows where it
// leads, and people put those of their runbooks into texts.
//
// An [Error] is classified by the codes of the medium's API: try again later, an
// operator can mend it, or the message is at fault. Each client keeps below the
// documented rate of its medium; replicas of one process each have a client, and what
// they exceed together the medium refuses for a while, which is obeyed too.
//
// # Libraries
//
// Weighed in November 2026; a library must take a context, give statuses, codes and
// Retry-After, and keep secrets out of its errors.
//
//   - nicholas-fedor/shoutrrr v0.13 (MIT, kept up; containrrr/shoutrrr, from which it
//     was forked, had its last release in 2023): Send takes no context; errors are texts
//     with the status at most, and those of net/http contain the address with its token;
//     bodies with their signatures are logged; the hosts of Feishu and WeCom are
//     constants, so that neither a private instance nor a test can be addressed; there is no
//     DingTalk; text for Feishu and WeCom is not escaped, so that a branch named
//     <at user_id="all"> notifies everyone.
//   - nikoksr/notify v1.3 (MIT, last release in January 2025): its one module requires the
//     SDKs of AWS, Google, Twilio and more; DingTalk is blinkbean/dingtalk, which takes no
//     context; errors are texts.
//   - wneessen/go-mail v0.8 (MIT, kept up, requires golang.org/x/crypto and x/text only):
//     contexts, TLS, all kinds of authentication, SMTP codes in its errors. It is used;
//     v0.8.1, because v0.8.2 requires Go 1.26.10.
//   - standard-webhooks (MIT, official, no dependency): it is used to sign.
//
// A message of a chat bot is one POST of JSON, whose escaping, signature and codes
// are what differs. These are therefore our own; golang.org/x/time/rate keeps the rates.
package receivers

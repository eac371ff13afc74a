// Package handlers holds the ways in. Webhook takes GitLab's deliveries: it
// authenticates one, decodes it into a rules.Event, stores that and answers.
// Admin serves what operators look at: health, metrics, decisions, the queue.
// Nothing here decides or acts: an event is stored, and the answer says so.
//
//	POST /webhooks/gitlab
//	  │ token, or signature over the body          else 401
//	  │ body, at most 25 MB                        else 413
//	  │ Decode                                     else 400
//	  │ is it from the configured GitLab?          else 403
//	  │ can any rule want it?                      else 200
//	  ▼ Put, which also knows what was put before  else 500
//	202 stored, 200 duplicate
//
// What passes is answered 500 and not 503: GitLab 17.4 and older disables a
// webhook for good after four answers in a row that are neither 2xx, 3xx nor 500.
package handlers

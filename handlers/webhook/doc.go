// Package webhook takes GitLab's deliveries: it authenticates one, decodes it into
// an event.Event, stores that and answers.
//
//	POST /webhooks/gitlab
//	  │ token, or signature over the body          else 401
//	  │ body, at most 25 MB                        else 413
//	  │ Decode                                     else 400
//	  │ is it from the configured GitLab?          else 403
//	  │ can any rule want it?                      else 200
//	  ▼ Put, which detects duplicates               else 500
//	202 stored, 200 duplicate
//
// Temporary failures are answered 500 and not 503: GitLab 17.4 and older disables
// a webhook for good after four responses in a row that are neither 2xx, 3xx nor 500.
package webhook

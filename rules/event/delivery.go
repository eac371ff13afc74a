package event

import "time"

// Results of a delivery: the values of Delivery.Result, and of a label of the
// deliveries' metric.
const (
	DeliveryStored       = "stored"       // its event is in the queue
	DeliveryDuplicate    = "duplicate"    // its event was delivered before
	DeliveryIgnored      = "ignored"      // no Job or Pipeline Hook, or no rule can want it
	DeliveryUnauthorized = "unauthorized" // wrong or missing token or signature
	DeliveryForeign      = "foreign"      // of another GitLab
	DeliveryMalformed    = "malformed"    // no JSON, or without the ids that a hook must have
	DeliveryTooLarge     = "too_large"
	DeliverySlow         = "slow"        // its body arrived too slowly
	DeliveryUnavailable  = "unavailable" // the store failed, or no memory was left for the body
	DeliveryPanic        = "panic"       // a bug
)

// DeliveryResults lists all results of deliveries.
var DeliveryResults = []string{
	DeliveryStored, DeliveryDuplicate, DeliveryIgnored, DeliveryUnauthorized, DeliveryForeign, DeliveryMalformed, DeliveryTooLarge,
	DeliverySlow, DeliveryUnavailable, DeliveryPanic,
}

// Delivery is one request of a webhook and what became of it. It has no part of
// the body but those that identify the event, and never a secret. Each text is
// short, whoever sent it: handlers/webhook bounds it.
type Delivery struct {
	At     time.Time `json:"at"`              // when it arrived
	Result string    `json:"result"`          // one of the results above
	Code   int       `json:"code"`            // HTTP status of the response
	Reason string    `json:"reason,omitzero"` // for the result, for people to read

	// Authenticated is true if the sender's token or signature was right, or if
	// everybody is accepted. All that follows can be made up if it is false.
	Authenticated bool   `json:"authenticated"`
	From          string `json:"from,omitzero"`     // the sender's IP address: that of a proxy, if there is one
	Agent         string `json:"agent,omitzero"`    // User-Agent: GitLab and its version
	Instance      string `json:"instance,omitzero"` // X-Gitlab-Instance: the base URL that GitLab calls itself by
	Hook          string `json:"hook,omitzero"`     // X-Gitlab-Event, such as Job Hook

	// What the body says. All of it is empty if the body was not read.
	Event     string `json:"event,omitzero"` // the event's id, by which its decisions can be found
	Kind      string `json:"kind,omitzero"`  // job or pipeline
	Project   string `json:"project,omitzero"`
	ProjectID int64  `json:"project_id,omitzero"`
	Pipeline  int64  `json:"pipeline,omitzero"`
	Job       int64  `json:"job,omitzero"`
	JobName   string `json:"job_name,omitzero"`
	Status    string `json:"status,omitzero"` // of the job or the pipeline
	Ref       string `json:"ref,omitzero"`
}

package store

import "sync"

// Notifier wakes all goroutines that wait for a notification. Its zero value
// is ready for use, and it is safe for concurrent use.
type Notifier struct {
	mu   sync.Mutex
	next chan struct{}
}

// Notify wakes the goroutines that wait now.
func (n *Notifier) Notify() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.next != nil {
		close(n.next)
		n.next = nil
	}
}

// Next returns a channel that the next Notify closes.
func (n *Notifier) Next() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.next == nil {
		n.next = make(chan struct{})
	}
	return n.next
}

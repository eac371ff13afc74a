package handlers

import (
	"net/http"
	"time"
)

// NewServer returns a server of the handler whose requests have a time and a size, and
// whose connections have a number, that a client can't exceed.
func NewServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ConnState:         NewConnections(DefaultConnections).Track,
	}
}

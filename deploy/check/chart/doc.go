// Package chart checks the Helm chart without a cluster: helm's own packages lint and render
// it, and what comes out is decoded into Kubernetes's types, strictly.
package chart

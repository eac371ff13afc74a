// Package redact hides the secrets in a text: tokens by the shapes of some two
// hundred providers, values whose name says that they are secret, and the values of
// variables. The shapes are data: a shape of a provider is added in moreproviders.go,
// or by gitleaks' next version and the generator in internal/providers.
package redact

// Package redact masks the secrets in a text: tokens by the formats of about
// two hundred providers, values whose name indicates that they are secret, and
// the values of variables. The formats are data: add a provider's format in
// moreproviders.go, or update providers.go from the next version of gitleaks
// with the generator in internal/providers.
package redact

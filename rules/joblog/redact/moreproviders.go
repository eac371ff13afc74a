package redact

import "regexp"

const (
	uuidShape = `[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`
	made      = `[\w-]{20,}`
	madeLong  = `[\w-]{40,}`

	longestShape = 128 // bytes of a match; the rest of a token is hidden with it
)

// moreProviders are kinds of secrets that gitleaks does not recognize, or only
// in another format.
var moreProviders = []provider{
	starting("sk-ant-", madeLong),  // Anthropic
	starting("sk-proj-", madeLong), // OpenAI
	starting("sk-svcacct-", madeLong),
	starting("sk-or-v1-", `[a-f0-9]{60,}`), // OpenRouter
	starting("gsk_", `[A-Za-z0-9]{40,}`),   // Groq
	starting("xai-", `[A-Za-z0-9]{60,}`),
	starting("r8_", `[A-Za-z0-9]{30,}`),  // Replicate
	starting("ATBB", `[A-Za-z0-9]{28,}`), // Bitbucket
	starting("ATCTT3", `[\w=-]{40,}`),
	starting("access_token$production$", `[a-z0-9]{16}\$[a-f0-9]{32}`), // Braintree
	starting("bkua_", `[a-f0-9]{40}`),                                  // Buildkite
	starting("CCIPAT_", `\w{30,}`),                                     // CircleCI
	starting("CFPAT-", madeLong),                                       // Contentful
	starting("cio", `[A-Za-z0-9]{32}\b`),                               // crates.io
	starting("dckr_pat_", made),                                        // Docker Hub
	starting("dckr_oat_", made),
	starting("dp.st.", `[\w.-]{30,}`), // Doppler
	starting("dp.ct.", `[\w.-]{30,}`),
	starting("figd_", madeLong), // Figma
	starting("GOCSPX-", made),   // Google
	starting("ya29.", `[\w.-]{20,}`),
	starting("1//0", madeLong),
	starting("pat-na1-", uuidShape), // HubSpot
	starting("pat-eu1-", uuidShape),
	starting("lin_oauth_", `\w{30,}`),  // Linear
	starting("napi_", `[a-z0-9]{40,}`), // Neon
	starting("NRAK-", `[A-Z0-9]{27}`),  // New Relic
	starting("NRII-", `[\w-]{32}`),
	starting("NRJS-", `[a-f0-9]{19}`),
	starting("oy2", `[a-z0-9]{43}\b`), // NuGet
	starting("packagist_", `\w{30,}`),
	starting("pypi-AgENdGVzdC5weXBpLm9yZ", madeLong),
	starting("rnd_", `[A-Za-z0-9]{28,}`),   // Render
	starting("shptka_", `[a-fA-F0-9]{32}`), // Shopify
	starting("sqa_", `[a-f0-9]{40}`),       // Sonar
	starting("sqp_", `[a-f0-9]{40}`),
	starting("squ_", `[a-f0-9]{40}`),
	starting("sq0csp-", madeLong),    // Square
	starting("sbp_", `[a-f0-9]{40}`), // Supabase
	starting("sb_secret_", made),
	starting("SWMTKN-1-", made), // Docker Swarm
	starting("tskey-", made),    // Tailscale
	starting("vercel_blob_rw_", made),
	{id: "telegram-bot", keywords: []string{":AA"}, expr: `\b\d{8,10}:AA[\w-]{33}\b`},
}

// starting returns a provider whose secrets begin with a prefix.
func starting(prefix, expr string) provider {
	return provider{id: prefix, keywords: []string{prefix}, reach: longestShape, word: true, expr: regexp.QuoteMeta(prefix) + expr}
}

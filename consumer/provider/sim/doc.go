// Package sim is a provider that fails on purpose, as an http.Handler.
//
// It speaks OpenAI's HTTP dialect, so that the real client is what gets tested, and keeps
// the accounts a provider would keep: who called how often, who called too early, what was
// answered, how much of the capacity was used. It imports nothing of ours, logs nothing,
// and keeps no prompt.
package sim

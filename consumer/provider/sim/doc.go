// Package sim is a provider that fails on purpose, as an http.Handler.
//
// It speaks OpenAI's HTTP dialect, so that the real client is what gets tested, and keeps
// the accounts a provider would keep: who called how often, who called too early, what was
// answered, how much of the capacity was used. It imports nothing of ours, logs nothing,
// and keeps no prompt.
//
// A prompt may hold a script, one or more markers played in turn by the job's admitted
// calls: [[sim:500x2]] fails two and then answers, [[sim:429x3,retry_after=2]],
// [[sim:hangx1]], [[sim:filtered]], [[sim:status=400,code=context_length_exceeded]]. It
// begins with a status, one of ok, filtered, length, hang, reset, half, html, slow, garbage,
// or a name of Faults, with xN for so many calls; then status, code, type, times,
// retry_after (seconds), latency.
package sim

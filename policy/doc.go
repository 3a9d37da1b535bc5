// Package policy decides what a provider's answer means and how hard to lean on it.
//
// Classify turns a reply into a Fault of one Class, Decide turns a fault and a job's history
// into what becomes of the job, Guard runs calls through the failsafe-go policies and keeps
// the window, the gate and the hold of one provider. It logs nothing, stores nothing and
// knows neither NATS nor HTTP clients.
package policy

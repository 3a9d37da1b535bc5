package policy

// Class is what a fault means. The set is closed: Classes lists it.
type Class string

// The classes, by who has to act. Verdict, Owner and Remedy say what follows from each.
const (
	// Of the job: its author mends it.
	Malformed       Class = "malformed"        // the message or line cannot be decoded
	BadRequest      Class = "bad_request"      // the provider refuses the request as it is
	ContextOverflow Class = "context_overflow" // prompt and output exceed the model's context
	TooLarge        Class = "too_large"        // the body, or the tokens it asks for, exceed a whole limit
	ContentFiltered Class = "content_filtered" // the provider's content policy refused the prompt
	NotFound        Class = "not_found"        // no such model or resource, or no access to it
	Expired         Class = "expired"          // the job's deadline passed
	CrashLoop       Class = "crash_loop"       // workers died with this job in hand, again and again
	Truncated       Class = "truncated"        // the answer was cut short or withheld, and the queue wants none such

	// Of the provider's limits: time mends it.
	RateLimited Class = "rate_limited" // more requests or tokens than the limit allows
	Overloaded  Class = "overloaded"   // the provider has no capacity at the moment

	// Of the provider or the network: another try may mend it.
	ServerError Class = "server_error" // 5xx that is no overload
	Timeout     Class = "timeout"      // no whole reply in time
	Network     Class = "network"      // no connection, a reset, a body cut short
	BadReply    Class = "bad_reply"    // a 2xx that holds no answer
	Conflict    Class = "conflict"     // 408, 409: try again

	// Of the account: its owner or operator mends it.
	Auth       Class = "auth"        // the key is missing, wrong or revoked
	Permission Class = "permission"  // the account may not do this
	Billing    Class = "billing"     // no credit, unpaid, suspended, paused or inactive
	Quota      Class = "quota"       // a spend or usage cap was reached
	DailyQuota Class = "daily_quota" // a cap that heals at a known hour
	Config     Class = "config"      // wrong address, TLS or scheme: never reached the provider
)

// Classes lists every class there is, in the order of the constants. The slice is the caller's.
func Classes() []Class {
	return []Class{
		Malformed, BadRequest, ContextOverflow, TooLarge, ContentFiltered, NotFound, Expired, CrashLoop,
		Truncated,
		RateLimited, Overloaded,
		ServerError, Timeout, Network, BadReply, Conflict,
		Auth, Permission, Billing, Quota, DailyQuota, Config,
	}
}

// Verdict is what becomes of a job that met a fault, before its history has a say.
type Verdict uint8

// The verdicts.
const (
	VerdictRetry    Verdict = iota // call again in place; counts as an attempt
	VerdictLater                   // back to the queue with a delay; counts as no attempt
	VerdictHold                    // stop pulling for the provider and keep every job; no attempt
	VerdictDead                    // the job can never succeed as it is
	VerdictFallback                // use the configured fallback; Dead where there is none
)

// String gives the verdict's word in reference/providers.md.
func (v Verdict) String() string {
	switch v {
	case VerdictRetry:
		return "retry"
	case VerdictLater:
		return "later"
	case VerdictHold:
		return "hold"
	case VerdictDead:
		return "dead"
	case VerdictFallback:
		return "fallback"
	}
	return "unknown"
}

// Verdict says what becomes of a job that met a fault of this class. A class that is none of
// Classes is retried: tries are few, so it neither loses the job nor keeps it for ever.
func (c Class) Verdict() Verdict {
	switch c {
	case ContextOverflow, TooLarge:
		return VerdictFallback
	case Malformed, BadRequest, ContentFiltered, NotFound, Expired, CrashLoop, Truncated:
		return VerdictDead
	case RateLimited, Overloaded:
		return VerdictLater
	case Auth, Permission, Billing, Quota, DailyQuota, Config:
		return VerdictHold
	case ServerError, Timeout, Network, BadReply, Conflict:
		return VerdictRetry
	}
	return VerdictRetry
}

// Ambiguous reports whether one such fault may belong to the job or to the account: a model or
// a permission that one job lacks and the next has. Other jobs' replies tell which. A bad key
// and a lack of money are never about one job.
func (c Class) Ambiguous() bool { return c == NotFound || c == Permission }

// Owner says who has to act: "author", "operator", "account owner", "provider", "limiter" (this
// program, by slowing down) or "nobody".
func (c Class) Owner() string {
	switch c {
	case Malformed, BadRequest, ContextOverflow, TooLarge, ContentFiltered, NotFound, Expired, Truncated:
		return "author"
	case CrashLoop, Auth, Permission, Config:
		return "operator"
	case Billing, Quota, DailyQuota:
		return "account owner"
	case Overloaded, ServerError, BadReply:
		return "provider"
	case RateLimited:
		return "limiter"
	case Timeout, Network, Conflict:
		return "nobody"
	}
	return "nobody"
}

// Remedy tells who must do what, in one sentence; "" for a class that is none of Classes.
func (c Class) Remedy() string {
	switch c { // accountRemedy names the others
	case Malformed:
		return "Correct the message so that it decodes, then replay it."
	case BadRequest:
		return "Correct the request as the provider's message says, then replay it."
	case ContextOverflow:
		return "Shorten the prompt, ask for less output, or use a model with a larger context."
	case TooLarge:
		return "Make the request smaller, or have the provider raise the limit."
	case ContentFiltered:
		return "Change the prompt so that it meets the provider's content policy."
	case NotFound:
		return "Check the model's name and that the account has access to it."
	case Expired:
		return "Submit the job again with a later deadline."
	case CrashLoop:
		return "Find out why workers die on this job before replaying it."
	case Truncated:
		return "Allow a longer answer, change what is asked, or have the queue accept such answers."
	case RateLimited:
		return "Wait: calls are slowed down until the limit allows more."
	case Overloaded:
		return "Wait: fewer calls are made until the provider has capacity."
	case ServerError, BadReply:
		return "Try again later, and report it to the provider if it stays."
	case Timeout:
		return "Try again, and raise the timeout if it stays."
	case Network:
		return "Try again, and check the connection to the provider if it stays."
	case Conflict:
		return "Try again."
	default:
		return c.accountRemedy()
	}
}

func (c Class) accountRemedy() string {
	switch c { // Remedy names the others
	case Auth:
		return "Set a valid key for the provider, then resume it."
	case Permission:
		return "Give the account access to the model and endpoint, then resume the provider."
	case Billing:
		return "Pay, add credit or have the account reinstated, then resume the provider."
	case Quota:
		return "Raise the spend or usage cap or wait for its next period, then resume the provider."
	case DailyQuota:
		return "Wait for the quota to renew at midnight Pacific time, or raise it."
	case Config:
		return "Correct the provider's address, scheme or certificates, then resume it."
	default:
		return ""
	}
}

package policy

import "slices"

// builtin is reference/providers.md as data. The order is the meaning: headers and codes of one
// meaning, then sentences that dress one thing as another, then codes that many share, then the
// status. A row without a status holds for any, as gateways put their own over the provider's.
func builtin() []Rule {
	return slices.Concat(llmdRules(), quotaRules(), moneyRules(), accessRules(),
		requestRules(), capacityRules(), rateRules(), statusRules())
}

func llmdRules() []Rule {
	const reason = "X-Llm-D-Request-Dropped-Reason: "
	return []Rule{
		{Name: "llm-d deadline", Header: reason + `rejected-ttl-expired`, Class: Expired},
		{Name: "llm-d saturated", Header: reason + `rejected-saturated|evicted.*`, Class: Overloaded},
	}
}

// quotaRules come first: a quota looks like a rate limit in everything but its code.
func quotaRules() []Rule {
	return []Rule{
		{Name: "gemini daily quota", Code: `.*PerDay.*`, Class: DailyQuota},
		{Name: "anthropic spend cap", Code: `enforced_spend_limit_reached`, Class: Quota},
		{Name: "openai quota", Code: `insufficient_quota`, Class: Quota},
		{Name: "openai spend cap", Code: `(organization|project)_(spend|usage)_limit_exceeded`, Class: Quota},
		{Name: "litellm budget", Code: `budget_exceeded`, Class: Quota},
		{Name: "openai credit", Code: `credit_balance_exhausted`, Class: Billing},
		{Name: "openai billing", Code: `billing_hard_limit_reached|billing_not_active`, Class: Billing},
		{Name: "anthropic billing", Code: `billing_error`, Class: Billing},
		{Name: "together credit", Code: `credit_limit`, Class: Billing},
	}
}

// moneyRules know the sentences of a billing problem dressed as 400, 403, 412, 429 or 502. They
// must not match what OpenAI says beside a rate limit ("… by adding a payment method").
func moneyRules() []Rule {
	return []Rule{
		{
			Name: "credit text", Class: Billing,
			Message: `credit balance is (too low|exhausted)` +
				`|(out of|no|insufficient|not enough) (\w+ )?(credits?|funds|balance)\b` +
				`|credits? (are |is |have been |has been )?(depleted|exhausted|used up)|billing_hard_limit_reached` +
				`|billing_not_active` +
				`|billing (hard limit|is not active|to be enabled)|account is not active|unpaid invoice`,
		},
		{
			Name: "suspended or paused", Class: Billing,
			Message: `\b(account|team|organi[sz]ation|project|subscription|customer)\b.{0,80}\b(suspended|paused)\b` +
				`|\b(suspended|paused)\b.{0,20}\b(account|team|organi[sz]ation|project|subscription)\b`,
		},
		{
			Name: "spend cap text", Class: Quota,
			Message: `(reached|exceeded|hit|over|above)\b.{0,60}\b(spend(ing)? (limit|cap)|api usage limits|usage cap)` +
				`|spend(ing)? (limit|cap)s?\b.{0,40}\b(reached|exceeded)|budget has been exceeded|exceededbudget`,
		},
		// Gemini has OpenAI's sentence on every quota, so its code goes before the sentence.
		{Name: "gemini minute quota", Code: `RESOURCE_EXHAUSTED`, Class: RateLimited},
		{
			Name: "quota text", Class: Quota,
			Message: `insufficient[_ ]quota|exceeded your (current|monthly) quota`,
		},
	}
}

func accessRules() []Rule {
	return []Rule{
		{
			Name: "model not allowed", Status: []int{401, 403}, Class: Permission,
			Message: `\bmodel\b.{0,80}\bnot (allowed|permitted|enabled)` +
				`|not (allowed|authorized|permitted) to (access|use|call)\b.{0,20}\bmodel`,
		},
		{Name: "litellm model access", Code: `(key|team|user|org|project)_model_access_denied`, Class: Permission},
		{
			Name: "key code", Class: Auth,
			Code: `invalid_api_key|account_deactivated|authentication_error|unauthenticated|api_key_invalid|auth_error` +
				`|token_not_found_in_db|expired_key|UnrecognizedClientException|ExpiredTokenException` +
				`|InvalidSignatureException`,
		},
		{
			Name: "key text", Class: Auth,
			Message: `(incorrect|invalid) api[ _-]?key|api[ _-]?key (is )?(not valid|invalid|expired|revoked)`,
		},
		{
			Name: "permission code", Class: Permission,
			Code: `permission_error|permission_denied|unsupported_country_region_territory|AccessDeniedException`,
		},
		{
			Name: "model code", Class: NotFound,
			Code: `model_not_found|not_found_error|not_found|NotFoundError|DeploymentNotFound|ResourceNotFoundException`,
		},
		{
			Name: "plain HTTP to a TLS port", Status: []int{400}, Class: Config,
			Message: `HTTP request (was sent )?to (an )?HTTPS (server|port)`,
		},
	}
}

// requestRules are about the one request.
func requestRules() []Rule {
	return []Rule{
		{Name: "more than the whole limit", Alone: true, Class: TooLarge},
		{
			Name: "context code", Class: ContextOverflow,
			Code: `context_length_exceeded|context_window_exceeded|ContextWindowExceededError`,
		},
		{
			Name: "context text", Status: []int{2, 4, 5}, Class: ContextOverflow,
			Message: `maximum context length|maximum model length|ContextWindowExceeded|prompt is too long` +
				`|input is too long` +
				`|exceeds? (the )?(model'?s? )?(maximum )?context (length|window|limit|size)` +
				`|input token count.{0,40}exceeds the maximum`,
		},
		{Name: "body too large", Code: `request_too_large`, Class: TooLarge},
		{
			Name: "content code", Class: ContentFiltered,
			Code: `content_policy_violation|content_filter|ResponsibleAIPolicyViolation` +
				`|ContentPolicyViolationError|invalid_prompt`,
		},
		{
			Name: "content text", Status: []int{400, 403, 422}, Class: ContentFiltered,
			Message: `content management policy|content filter(ing)? policy` +
				`|violat\w+ (our|the) (usage|content) polic|content_policy_violation`,
		},
		{Name: "field too long", Code: `string_above_max_length`, Class: BadRequest},
		{Name: "adapter failed to load", Status: []int{412}, Message: `\b(lora|adapter|addon)\b`, Class: BadRequest},
		{
			Name: "bad request in a 2xx", Status: []int{2}, Class: BadRequest,
			Code: `invalid_request_error|BadRequestError|INVALID_ARGUMENT|ValidationException`,
		},
	}
}

// capacityRules go before the rate: where both fit, fewer calls in flight is what helps.
func capacityRules() []Rule {
	return []Rule{
		{
			Name: "capacity code", Class: Overloaded,
			Code: `server_is_overloaded|service_unavailable_error|overloaded_error|engine_overloaded\w*` +
				`|resource_unavailable` +
				`|ModelNotReadyException|ServiceUnavailableException|UNAVAILABLE`,
		},
		{Name: "burst", Code: `limit_burst_rate`, Class: Overloaded},
		{
			Name: "concurrency text", Status: []int{2, 429, 5}, Class: Overloaded,
			Message: `current concurrency.{0,80}exceed|concurrent (requests|connections)\b.{0,60}(limit|exceed)` +
				`|too many concurrent|concurrency limit`,
		},
		{
			Name: "capacity text", Status: []int{2, 429, 5}, Class: Overloaded,
			Message: `high demand|saturated|overloaded|over capacity|insufficient capacity` +
				`|no (spare |available )?capacity|resources? (is |are )?unavailable`,
		},
	}
}

func rateRules() []Rule {
	return []Rule{
		{Name: "slow down", Code: `slow_down`, Class: RateLimited},
		{Name: "batch queue full", Code: `token_limit_exceeded`, Class: RateLimited},
		{
			Name: "rate code", Class: RateLimited,
			Code: `rate_limit_exceeded|rate_limit_error|RateLimitError|RateLimitReached|ThrottlingException` +
				`|throttling_error|too_?many_?requests(Exception)?`,
		},
		{
			Name: "rate text", Status: []int{2, 400, 403, 429, 5}, Class: RateLimited,
			Message: `rate limit (is |was |has been )?(exceeded|reached)|too many requests` +
				`|requests\b.{0,160} have been limited|token budget implied`,
		},
		{
			Name: "server error in a 2xx", Status: []int{2}, Class: ServerError,
			Code: `server_error|api_error|timeout_error|internal_error|InternalServerError|InternalServerException` +
				`|INTERNAL`,
		},
	}
}

// statusRules know only the status, so they come last.
func statusRules() []Rule {
	return []Rule{
		{Name: "status 3xx", Status: []int{3}, Class: Config}, // a login page or a moved endpoint
		{Name: "status 401", Status: []int{401}, Class: Auth},
		{Name: "status 402", Status: []int{402}, Class: Billing},
		{Name: "status 403", Status: []int{403, 451}, Class: Permission},
		{Name: "status 404", Status: []int{404, 410}, Class: NotFound},
		{Name: "status 407", Status: []int{407}, Class: Config},
		{Name: "status 408, 409", Status: []int{408, 409, 423, 425}, Class: Conflict},
		{Name: "status 412", Status: []int{412}, Class: Permission}, // Fireworks, and no word why
		{Name: "status 413", Status: []int{413}, Class: TooLarge},
		{Name: "status 424", Status: []int{424}, Class: ServerError}, // Bedrock: the model failed
		{Name: "status 429", Status: []int{429}, Class: RateLimited},
		{Name: "status 499", Status: []int{499}, Class: Timeout}, // nginx: the proxy before it left
		{Name: "status 4xx", Status: []int{4}, Class: BadRequest},
		{Name: "status 503, 529", Status: []int{503, 529}, Class: Overloaded},
		{Name: "status 5xx", Status: []int{5}, Class: ServerError},
	}
}

package sim

// Faults lists the names of Config.Fault. A script may use them too.
func Faults() []string {
	var names []string
	for _, f := range faults() {
		names = append(names, f.name)
	}
	return names
}

// named finds a fault; without one of that name it is a bad request with the name as code.
func named(name string) failure {
	for _, f := range faults() {
		if f.name == name {
			return f.failure
		}
	}
	return *invalid(400, name, "The request is not valid (simulated): "+name+".")
}

type fault struct {
	name string
	failure
}

// faults holds the bodies of reference/providers.md: first the account's, then the
// request's, then the provider's own.
func faults() []fault {
	return append(accountFaults(), []fault{
		{"model_not_found", *invalid(404, "model_not_found",
			"The model `{model}` does not exist or you do not have access to it.")},
		{"context_length_exceeded", *invalid(400, "context_length_exceeded",
			"This model's maximum context length is 8192 tokens. Please reduce the length of the messages.")},
		{"string_above_max_length", *invalid(400, "string_above_max_length",
			"Invalid 'input': string too long.")},
		{"content_policy_violation", *invalid(400, "content_policy_violation",
			"Your request was rejected as a result of our safety system.")},
		{"slow_down", failure{
			status: 429, typ: "rate_limit_error", code: "slow_down",
			message: "Your request rate has increased too quickly. Please slow down.",
		}},
		{"server_error", plain(500)},
		{"server_is_overloaded", failure{
			status: 503, typ: "service_unavailable_error",
			code: "server_is_overloaded", message: "The server is currently overloaded. Please try again later.",
		}},
		{"overloaded_error", failure{
			status: 529,
			body:   `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`,
		}},
	}...)
}

func accountFaults() []fault {
	quota := func(code, message string) fault {
		return fault{code, failure{status: 429, typ: "insufficient_quota", code: code, message: message}}
	}
	return []fault{
		quota("insufficient_quota",
			"You exceeded your current quota, please check your plan and billing details."),
		quota("credit_balance_exhausted", "Your credit balance is exhausted."),
		quota("organization_spend_limit_exceeded", "Your organization reached its spend limit."),
		{"invalid_api_key", *invalid(401, "invalid_api_key", "Incorrect API key provided.")},
		{"account_deactivated", *invalid(401, "account_deactivated",
			"The account associated with this API key has been deactivated.")},
		{"billing", failure{
			status: 402, typ: "billing_error", code: "billing_not_active",
			message: "Your account is not active, please check your billing details on our website.",
		}},
		{"permission", *invalid(403, "permission_denied",
			"You have insufficient permissions for this operation.")},
		{"unsupported_country", *invalid(403, "unsupported_country_region_territory",
			"Country, region, or territory not supported")},
		{"suspended", failure{
			status: 412, typ: "error", code: "PRECONDITION_FAILED",
			message: "Account is suspended, possibly due to reaching the monthly spending limit " +
				"or failure to pay past invoices.",
		}},
		{"credit_balance", failure{status: 400, body: `{"type":"error","error":{"type":"invalid_request_error",` +
			`"message":"Your credit balance is too low to access the Anthropic API."}}`}},
		{"spend_limit", failure{status: 429, body: `{"type":"error","error":{"type":"rate_limit_error",` +
			`"message":"This request would exceed your organization's monthly spend limit.",` +
			`"details":{"error_code":"enforced_spend_limit_reached"}}}`}},
		{"day_quota", failure{status: 429, body: `[{"error":{"code":429,"message":"You exceeded your current quota.",` +
			`"status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure",` +
			`"violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel"}]}]}}]`}},
	}
}

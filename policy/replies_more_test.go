package policy_test

import "nightshift/policy"

const geminiMinute = `{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaMetric":"generativelanguage.googleapis.com/generate_content_free_tier_requests","quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier","quotaValue":"10"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34s"}]}}`

const geminiDay = `[{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details. Please retry in 34.07s.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier","quotaValue":"20"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34s"}]}}]`

func geminiSamples() []sample {
	return []sample{
		{"gemini minute", 429, "", geminiMinute, policy.RateLimited, "gemini minute quota"},
		{"gemini day", 429, "", geminiDay, policy.DailyQuota, "gemini daily quota"},
		{"gemini billing", 402, "", `{"error":{"code":402,"message":"Payment required","status":"FAILED_PRECONDITION"}}`, policy.Billing, "status 402"},
		{"gemini prepaid", 429, "", `{"error":{"code":429,"message":"Your prepayment credits are depleted.","status":"RESOURCE_EXHAUSTED"}}`, policy.Billing, "credit text"},
		{"gemini key", 400, "", `{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}`, policy.Auth, "key code"},
		{"gemini context", 400, "", `{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}`, policy.ContextOverflow, "context text"},
		{"gemini overload", 503, "", `{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}`, policy.Overloaded, "capacity code"},
	}
}

func hostedSamples() []sample {
	return []sample{
		{"together credit", 429, "", `{"error":{"message":"Credit limit exceeded","type":"credit_limit","param":null,"code":null}}`, policy.Billing, "together credit"},
		{"together dynamic", 429, "", `{"error":{"message":"You have reached the rate limit specific to this model","type":"model_rate_limit"}}`, policy.RateLimited, "status 429"},
		{"bedrock throttled", 429, "", `{"__type":"ThrottlingException","message":"Too many tokens, please wait before trying again."}`, policy.RateLimited, "rate code"},
		{"bedrock cold", 429, "", `{"message":"Model is not ready","__type":"ModelNotReadyException"}`, policy.Overloaded, "capacity code"},
		{"bedrock model error", 424, "", `{"message":"The model failed"}`, policy.ServerError, "status 424"},
		{"vllm overload", 503, "", `{"object":"error","message":"The engine is overloaded","type":"ServiceUnavailable","param":null,"code":503}`, policy.Overloaded, "capacity text"},
		{"vllm context", 400, "", `{"object":"error","message":"This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.","type":"BadRequestError","param":null,"code":400}`, policy.ContextOverflow, "context text"},
		{"coreweave quota", 402, "", `{"error":{"message":"Insufficient quota"}}`, policy.Quota, "quota text"},
		{"volcano burst", 429, "", `{"error":{"code":"limit_burst_rate","message":"Request rate increased too quickly."}}`, policy.Overloaded, "burst"},
		{"volcano concurrency", 429, "", `{"error":{"message":"current concurrency 32 exceeds limit 16"}}`, policy.Overloaded, "concurrency text"},
		{"llm-d saturated", 429, "X-Llm-D-Request-Dropped-Reason: rejected-saturated", "", policy.Overloaded, "llm-d saturated"},
		{"llm-d evicted", 503, "X-Llm-D-Request-Dropped-Reason: evicted-priority", "", policy.Overloaded, "llm-d saturated"},
		{"llm-d deadline", 503, "X-Llm-D-Request-Dropped-Reason: rejected-ttl-expired", "", policy.Expired, "llm-d deadline"},
	}
}

func gatewaySamples() []sample {
	return []sample{
		{"quota masked as 502", 502, "", `{"error":{"message":"litellm.RateLimitError: OpenAIException - {'error': {'code': 'insufficient_quota'}}","type":"None","code":"502"}}`, policy.Quota, "quota text"},
		{"rate masked as 500", 500, "", `{"error":{"message":"upstream","type":"None","param":"None","code":"429"}}`, policy.RateLimited, "status 429"},
		{"litellm budget", 400, "", `{"error":{"message":"Budget has been exceeded! Current cost: 1.2, Max budget: 1.0","type":"budget_exceeded","param":null,"code":"400"}}`, policy.Quota, "litellm budget"},
		{"litellm model access", 401, "", `{"error":{"message":"team can only access models=['a']","type":"team_model_access_denied","param":"model","code":"401"}}`, policy.Permission, "litellm model access"},
		{"key in a sentence", 400, "", `{"error":"Invalid API key"}`, policy.Auth, "key text"},
		{"plain http", 400, "", "Client sent an HTTP request to an HTTPS server.\n", policy.Config, "plain HTTP to a TLS port"},
		{"redirect to a login", 302, "Location: /login", "", policy.Config, "status 3xx"},
		{"proxy key", 407, "", "<html><h1>Proxy Authentication Required</h1></html>", policy.Config, "status 407"},
		{"nginx 499", 499, "", "", policy.Timeout, "status 499"},
		{"bare 503", 503, "", "", policy.Overloaded, "status 503, 529"},
		{"validation", 422, "", `{"detail":[{"type":"missing","loc":["body","messages"],"msg":"Field required","input":{"error":{"code":"insufficient_quota"}}}]}`, policy.BadRequest, "status 4xx"},
		{"stream of an error", 200, "Content-Type: text/event-stream", "event: message_start\ndata: {\"type\":\"message_start\"}\n\nevent: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n", policy.Overloaded, "capacity code"},
		{"bad request in a stream", 200, "", "data: {\"error\":{\"message\":\"no\",\"type\":\"invalid_request_error\"}}\n\n", policy.BadRequest, "bad request in a 2xx"},
		{"response failed", 200, "", "data: {\"type\":\"response.created\",\"response\":{\"error\":null}}\n\ndata: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"x\"}}}\n\n", policy.ServerError, "server error in a 2xx"},
		{"code in a 200", 200, "", `{"error":{"code":429,"message":"Provider returned error"}}`, policy.RateLimited, "status 429"},
	}
}

func saasSamples() []sample {
	return []sample{
		{"saas suspended", 403, "", `{"detail":"Team is suspended"}`, policy.Billing, "suspended or paused"},
		{"saas paused", 403, "", `{"detail":"Organization has been paused by its admin"}`, policy.Billing, "suspended or paused"},
		{"saas credits", 403, "", `{"detail":"Insufficient credits. Team has 0 credits remaining."}`, policy.Billing, "credit text"},
		{"saas out of credits", 403, "", `{"detail":"Team is out of credits"}`, policy.Billing, "credit text"},
		{"saas model", 403, "", `{"detail":"Model 'gpt-4o' not allowed for this team"}`, policy.Permission, "model not allowed"},
		{"saas other", 403, "", `{"detail":"Forbidden"}`, policy.Permission, "status 403"},
	}
}

func statusSamples() []sample {
	return []sample{
		{"410", 410, "", "", policy.NotFound, "status 404"},
		{"451", 451, "", "", policy.Permission, "status 403"},
		{"501", 501, "", "", policy.ServerError, "status 5xx"},
		{"100", 100, "", "", policy.BadReply, "no answer"},
		{"700", 700, "", "", policy.BadReply, "no answer"},
		{"0", 0, "", "", policy.Network, "no reply"},
	}
}

// okSamples come with a 2xx; a class of "" is an answer.
func okSamples() []sample {
	return []sample{
		{"chat", 200, "", `{"id":"x","object":"chat.completion","choices":[{"message":{"content":"\"error\": insufficient_quota"}}],"usage":{}}`, "", ""},
		{"embeddings", 200, "", `{"object":"list","data":[{"embedding":[0.1]}]}`, "", ""},
		{"responses", 200, "", `{"object":"response","error":null,"output":[]}`, "", ""},
		{"anthropic", 200, "", "\ufeff\n" + `{"type":"message","content":[]}`, "", ""},
		{"moderations", 200, "", `{"results":[{"flagged":false}]}`, "", ""},
		{"saas", 200, "", `{"job_id":"j","status":"completed","response":{"content":"4"}}`, "", ""},
		{"stream", 200, "", ": hi\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"an error\"}}],\"error\":null}\n\ndata: [DONE]\n\n", "", ""},
		{"stream of nothing", 200, "", ": hi\n\n", policy.BadReply, "no answer"},
		{"no choices", 200, "", `{"id":"x","choices":[]}`, policy.BadReply, "no answer"},
		{"error beside choices", 200, "", `{"choices":[{}],"error":{"message":"upstream died"}}`, policy.BadReply, "no answer"},
		{"error alone", 200, "", `{"error":{"message":"upstream died"}}`, policy.BadReply, "no answer"},
		{"quota in a 200", 200, "", `{"error":{"message":"x","code":"insufficient_quota"}}`, policy.Quota, "openai quota"},
		{"page", 200, "", "<html><title>Account suspended</title></html>", policy.BadReply, "no answer"},
		{"unread answer", 200, "", `{"message":"your account is suspended"}`, policy.BadReply, "no answer"},
		{"cut short", 200, "", `{"choices":[{"message":{"cont`, policy.BadReply, "no answer"},
		{"two values", 200, "", `{"choices":[{}]}{"a":1}`, policy.BadReply, "no answer"},
		{"empty", 204, "", "", policy.BadReply, "no answer"},
	}
}

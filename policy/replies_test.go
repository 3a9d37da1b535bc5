package policy_test

import "nightshift/policy"

// sample is a reply as a provider sends it, and what it means. A live reply that proves a row
// of reference/providers.md wrong belongs here.
type sample struct {
	name   string
	status int
	header string // "Name: value" lines
	body   string
	class  policy.Class
	rule   string
}

func samples() []sample {
	var all []sample
	for _, of := range [][]sample{
		openAISamples(), azureSamples(), anthropicSamples(), fireworksSamples(), geminiSamples(),
		hostedSamples(), gatewaySamples(), saasSamples(), statusSamples(), okSamples(),
	} {
		all = append(all, of...)
	}
	return all
}

func openAISamples() []sample {
	return []sample{
		{"openai context", 400, "X-Request-Id: req_1", `{"error":{"message":"This model's maximum context length is 128000 tokens. However, your messages resulted in 130001 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`, policy.ContextOverflow, "context code"},
		{"openai string too long", 400, "", `{"error":{"message":"Invalid 'user': string too long. Expected a string with maximum length 64, but got a string with length 70 instead.","type":"invalid_request_error","param":"user","code":"string_above_max_length"}}`, policy.BadRequest, "field too long"},
		{"openai content policy", 400, "", `{"error":{"message":"Your request was rejected as a result of our safety system.","type":"invalid_request_error","param":null,"code":"content_policy_violation"}}`, policy.ContentFiltered, "content code"},
		{"openai flagged prompt", 400, "", `{"error":{"message":"Invalid prompt: your prompt was flagged as potentially violating our usage policy.","type":"invalid_request_error","param":null,"code":"invalid_prompt"}}`, policy.ContentFiltered, "content code"},
		{"openai bad parameter", 400, "", `{"error":{"message":"Unrecognized request argument supplied: foo","type":"invalid_request_error","param":null,"code":null}}`, policy.BadRequest, "status 4xx"},
		{"openai bad key", 401, "", `{"error":{"message":"Incorrect API key provided: sk-abc***xyz.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`, policy.Auth, "key code"},
		{"openai deactivated", 401, "", `{"error":{"message":"The OpenAI account associated with this API key has been deactivated.","type":"invalid_request_error","code":"account_deactivated"}}`, policy.Auth, "key code"},
		{"openai region", 403, "", `{"error":{"code":"unsupported_country_region_territory","message":"Country, region, or territory not supported","param":null,"type":"request_forbidden"}}`, policy.Permission, "permission code"},
		{"openai no permission", 403, "", `{"error":{"message":"You have insufficient permissions for this operation.","type":"invalid_request_error","code":null}}`, policy.Permission, "status 403"},
		{"openai no model", 404, "", `{"error":{"message":"The model gpt-9 does not exist or you do not have access to it.","type":"invalid_request_error","param":null,"code":"model_not_found"}}`, policy.NotFound, "model code"},
		{"openai 408", 408, "", "", policy.Conflict, "status 408, 409"},
		{"openai 409", 409, "", `{"error":{"message":"lock conflict"}}`, policy.Conflict, "status 408, 409"},
		{"openai 422", 422, "", `{"error":{"message":"Unprocessable"}}`, policy.BadRequest, "status 4xx"},
		{"openai rate", 429, "", `{"error":{"message":"Rate limit reached for gpt-4o in organization org-x on tokens per min (TPM): Limit 10000, Used 9000, Requested 2000. Please try again in 6s. You can increase your rate limit by adding a payment method to your account at https://platform.openai.com/account/billing.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}`, policy.RateLimited, "rate code"},
		{"openai larger than the limit", 429, "", `{"error":{"message":"Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 10000, Requested 12000. The input or output tokens must be reduced in order to run successfully.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}`, policy.TooLarge, "more than the whole limit"},
		{"openai as large as the limit", 429, "", `{"error":{"message":"Request too large for gpt-4o on tokens per min (TPM): Limit 10,000, Requested 10,000.","type":"tokens","code":"rate_limit_exceeded"}}`, policy.RateLimited, "rate code"},
		{"openai quota", 429, "", `{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`, policy.Quota, "openai quota"},
		{"openai credit", 429, "", `{"error":{"message":"No credit.","type":"insufficient_quota_","code":"credit_balance_exhausted"}}`, policy.Billing, "openai credit"},
		{"openai organization spend", 429, "", `{"error":{"message":"Limit.","type":"billing","code":"organization_spend_limit_exceeded"}}`, policy.Quota, "openai spend cap"},
		{"openai project spend", 429, "", `{"error":{"message":"Limit.","type":"billing","code":"project_spend_limit_exceeded"}}`, policy.Quota, "openai spend cap"},
		{"openai organization usage", 429, "", `{"error":{"message":"Limit.","code":"organization_usage_limit_exceeded"}}`, policy.Quota, "openai spend cap"},
		{"openai hard limit", 400, "", `{"error":{"message":"Billing hard limit has been reached","type":"invalid_request_error","param":null,"code":"billing_hard_limit_reached"}}`, policy.Billing, "openai billing"},
		{"openai billing inactive", 429, "", `{"error":{"message":"Your account is not active, please check your billing details on our website.","type":"billing_not_active","param":null,"code":"billing_not_active"}}`, policy.Billing, "openai billing"},
		{"openai slow down", 429, "", `{"error":{"message":"Please slow down.","type":"rate_limit_error","code":"slow_down"}}`, policy.RateLimited, "slow down"},
		{"openai flex", 429, "", `{"error":{"message":"Resource unavailable: no spare capacity for flex processing.","type":"server_error","code":"resource_unavailable"}}`, policy.Overloaded, "capacity code"},
		{"openai fault", 500, "", `{"error":{"message":"The server had an error.","type":"server_error","param":null,"code":null}}`, policy.ServerError, "status 5xx"},
		{"openai overload", 503, "", `{"error":{"message":"The server is overloaded.","type":"service_unavailable_error","code":"server_is_overloaded"}}`, policy.Overloaded, "capacity code"},
		{"openai batch queue", 400, "", `{"error":{"message":"Enqueued token limit reached for gpt-4o.","code":"token_limit_exceeded"}}`, policy.RateLimited, "batch queue full"},
	}
}

func azureSamples() []sample {
	return []sample{
		{"azure window", 429, "Retry-After: 26", `{"error":{"code":"429","message":"Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-06-01 have been limited. Please retry after 26 seconds."}}`, policy.RateLimited, "rate text"},
		{"azure exceeded", 429, "", `{"statusCode": 429, "message": "Rate limit is exceeded. Try again in 12 seconds."}`, policy.RateLimited, "rate text"},
		{"azure demand", 429, "", `{"error":{"code":"429","message":"System is experiencing high demand. Please retry shortly."}}`, policy.Overloaded, "capacity text"},
		{"azure token budget", 429, "", `{"error":{"code":"429","message":"The token budget implied by request parameters exceeds the remaining quota."}}`, policy.RateLimited, "rate text"},
		{"azure filter", 400, "", `{"error":{"message":"The response was filtered.","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true,"severity":"high"}}}}}`, policy.ContentFiltered, "content code"},
		{"azure filter, text only", 400, "", `{"error":{"message":"The prompt triggered Azure OpenAI's content management policy.","code":null}}`, policy.ContentFiltered, "content text"},
		{"azure blocked", 403, "", `{"error":{"code":"403","message":"Your resource has been temporarily blocked because we detected behavior that may violate our terms."}}`, policy.Permission, "status 403"},
		{"azure no deployment", 404, "", `{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}`, policy.NotFound, "model code"},
	}
}

func anthropicSamples() []sample {
	return []sample{
		{"anthropic context", 400, "Request-Id: req_2", `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"},"request_id":"req_2"}`, policy.ContextOverflow, "context text"},
		{"anthropic max_tokens", 400, "", `{"type":"error","error":{"type":"invalid_request_error","message":"input length and ` + "`max_tokens`" + ` exceed context limit: 190000 + 20000 > 200000, decrease input length or max_tokens and try again"}}`, policy.ContextOverflow, "context text"},
		{"anthropic credit", 400, "", `{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."}}`, policy.Billing, "credit text"},
		{"anthropic workspace spend", 400, "", `{"type":"error","error":{"type":"invalid_request_error","message":"This workspace has reached its spend limit."}}`, policy.Quota, "spend cap text"},
		{"anthropic usage limits", 400, "", `{"type":"error","error":{"type":"invalid_request_error","message":"You have reached your specified API usage limits. You will regain access on 2026-01-01 at 00:00 UTC."}}`, policy.Quota, "spend cap text"},
		{"anthropic key", 401, "", `{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}`, policy.Auth, "key code"},
		{"anthropic permission", 403, "", `{"type":"error","error":{"type":"permission_error","message":"Your API key does not have permission to use the specified resource."}}`, policy.Permission, "permission code"},
		{"anthropic billing", 402, "", `{"type":"error","error":{"type":"billing_error","message":"There is an issue with your billing."}}`, policy.Billing, "anthropic billing"},
		{"anthropic model", 404, "", `{"type":"error","error":{"type":"not_found_error","message":"model: claude-0"}}`, policy.NotFound, "model code"},
		{"anthropic size", 413, "", `{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}`, policy.TooLarge, "body too large"},
		{"anthropic rate", 429, "Retry-After: 7", `{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your organization's rate limit of 50,000 input tokens per minute."}}`, policy.RateLimited, "rate code"},
		{"anthropic concurrency", 429, "", `{"type":"error","error":{"type":"rate_limit_error","message":"Number of concurrent connections has exceeded your rate limit."}}`, policy.Overloaded, "concurrency text"},
		{"anthropic spend cap", 429, "", `{"type":"error","error":{"type":"rate_limit_error","message":"Limit reached.","details":{"error_code":"enforced_spend_limit_reached"}}}`, policy.Quota, "anthropic spend cap"},
		{"anthropic fault", 500, "", `{"type":"error","error":{"type":"api_error","message":"Internal server error"}}`, policy.ServerError, "status 5xx"},
		{"anthropic timeout", 504, "", `{"type":"error","error":{"type":"timeout_error","message":"Timed out"}}`, policy.ServerError, "status 5xx"},
		{"anthropic overload", 529, "", `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, policy.Overloaded, "capacity code"},
	}
}

func fireworksSamples() []sample {
	return []sample{
		{"fireworks bad request", 400, "", `{"error":{"object":"error","type":"invalid_request_error","code":"invalid_request_error","message":"max_tokens must be positive"}}`, policy.BadRequest, "status 4xx"},
		{"fireworks method", 405, "", `{"fault":{}}`, policy.BadRequest, "status 4xx"},
		{"fireworks size", 413, "", "", policy.TooLarge, "status 413"},
		{"fireworks key", 401, "", `{"error":{"message":"The API key you provided is not known"}}`, policy.Auth, "status 401"},
		{"fireworks payment", 402, "", "Payment required", policy.Billing, "status 402"},
		{"fireworks model", 404, "", `{"error":{"message":"Model not found, inaccessible, and/or not deployed"}}`, policy.NotFound, "status 404"},
		{"fireworks suspended", 412, "", `{"error":{"message":"Account acme is suspended, possibly due to reaching the monthly spending limit or failure to pay past invoices."}}`, policy.Billing, "suspended or paused"},
		{"fireworks lora", 412, "", `{"error":{"message":"LoRA adapter failed to load: rank 128 exceeds 64"}}`, policy.BadRequest, "adapter failed to load"},
		{"fireworks 412 without a word", 412, "", "", policy.Permission, "status 412"},
		{"fireworks rate", 429, "", `{"error":{"message":"You are sending requests too quickly"}}`, policy.RateLimited, "status 429"},
		{"fireworks saturated", 429, "", `{"error":{"message":"The deployment is saturated, scale it up"}}`, policy.Overloaded, "capacity text"},
		{"fireworks fault", 500, "", `{"error":{"message":"Internal Server Error"}}`, policy.ServerError, "status 5xx"},
		{"fireworks 502", 502, "", "<html><head><title>502 Bad Gateway</title></head></html>", policy.ServerError, "status 5xx"},
		{"fireworks 520", 520, "", "", policy.ServerError, "status 5xx"},
		{"fireworks overload", 503, "", `{"error":{"message":"Service Overloaded"}}`, policy.Overloaded, "capacity text"},
	}
}

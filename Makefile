FUZZTIME ?= 30s

.DEFAULT_GOAL := help
.PHONY: help build test lint ci bench fuzz run clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build the one static binary, ./nightshift.
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o nightshift ./cmd/nightshift

test: ## Run all tests under the race detector.
	go test -race -shuffle=on ./...

lint: ## Run the linters, installing them to ./bin the first time.
	.ci/run lint

ci: ## Run everything that has to hold before a commit.
	.ci/run

bench: ## Run the benchmarks of every package.
	go test -run '^$$' -bench . -benchmem ./...

fuzz: ## Fuzz every parser for FUZZTIME each, 30s by default.
	@for pkg in $$(go list ./...); do \
		for name in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$name"; \
			go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done

run: ## Run the sample of the README: a night against a simulated provider.
	go run ./cmd/nightshift run cmd/nightshift/testdata/prompts.jsonl --provider sim -o answers.jsonl

clean: ## Remove what was built, and the linter.
	rm -rf bin nightshift
	find . -name '*.test' -delete -o -name '*.prof' -delete

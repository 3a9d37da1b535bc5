// Package consumer takes jobs off the queue, calls a provider for each and puts every job
// where it belongs: an answer in RESULTS, a dead letter in DEAD, or back on the queue until
// the provider has room. It owns those streams, the history of jobs between deliveries and
// what workers share about a provider. What an answer means is decided in package policy.
//
// Start reading at deliver.go: it is the whole life of a job.
package consumer

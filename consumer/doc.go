// Package consumer takes jobs off the queue, calls a provider for each and puts every job
// where it belongs: an answer in RESULTS, a dead letter in DEAD, or back on the queue until
// the provider has room. It owns those streams, the history of jobs between deliveries and
// what workers share about a provider. What an answer means is decided in package policy.
//
// Start reading at deliver.go: it is the whole life of a job. Around it:
//
//   - getting jobs: lane (the jobs of one batch in a queue), pull, turns (whose turn it is),
//     pause, probe (of a held provider), reach and takeover (after a crash)
//   - calling: ask (the provider, then the fallbacks), amend (answers that are not whole),
//     budget (money and tokens), suspect (jobs that kill workers)
//   - settling: settle, unstored (a broker that stores nothing), result, dead, history, commit (many
//     endings, one fsync), remove, lease,
//     expire (deadlines while nobody pulls)
//   - together with other workers: fleet (what stands in the bucket), roster (who is there),
//     learned, release, notice
//   - from outside, on a Store: look and look_many (reading), ledger and queues (counting),
//     verify, cancel, and dead_ (choosing, mending, replaying and giving up dead letters)
package consumer

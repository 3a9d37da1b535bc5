// Package producer puts jobs on the queue. It owns the message contract (Job), the JOBS
// stream, the manifests of batches and the reading of batch files; it does not know who
// takes the jobs or what becomes of them.
//
// Anyone may publish without it: a message on jobs.<queue> whose body is an OpenAI batch
// line or a bare request body is a job (see Decode).
package producer

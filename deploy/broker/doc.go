// Package broker runs the NATS server inside this process, or connects to one.
//
// It owns the store directory: its lock, its version, and the address file by which a second
// process finds the first. It knows nothing of jobs: streams belong to who writes their messages.
// The store belongs on a local disk: the lock is flock's.
package broker

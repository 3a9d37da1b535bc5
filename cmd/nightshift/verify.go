package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"

	"github.com/spf13/cobra"

	"nightshift/consumer"
	"nightshift/producer"
)

func (a *app) verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify BATCH [FILE]",
		Short: "Check job by job that a batch is whole",
		Long: "verify looks for each job of a batch on its queue, among the answers and among the\n" +
			"dead letters. With the file it was made from it names the jobs, finds those that\n" +
			"are not of it, and with --repair puts back what the store lost, as after a power\n" +
			"failure with --sync 1s. The exit code is 0 when all is in its place, and 1 when\n" +
			"not.",
		Example: "  nightshift verify b3kq2m7xw4zt\n  nightshift verify b3kq2m7xw4zt prompts.jsonl --repair",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				return nil
			}
			return oneArg("BATCH")(cmd, args)
		},
		ValidArgsFunction: a.completeBatches,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.verify(cmd.Context(), args[0], strings.Join(args[1:], ""))
		},
	}
	cmd.Flags().BoolVar(&a.flags.repair, "repair", false, "put missing jobs back on the queue; wants the file")
	cmd.Flags().BoolVar(&a.flags.dryRun, "dry-run", false, "with --repair: only say what would be put back")
	return cmd
}

func (a *app) verify(ctx context.Context, id, path string) error {
	if a.flags.repair && path == "" {
		return usageError{hint(errors.New("--repair needs the file the batch was made from"),
			"nightshift verify %s FILE --repair", id)}
	}
	return a.attached(ctx, func(s *session) error { return a.verifyAll(ctx, s, id, path) })
}

func (a *app) verifyAll(ctx context.Context, s *session, id, path string) (err error) {
	v := &verification{app: a, session: s, missing: map[uint64]bool{}, seed: maphash.MakeSeed()}
	if v.batch, err = s.producer.Batch(ctx, id); err != nil {
		return noBatch(err)
	}
	if path != "" {
		if v.src, err = a.openSource(path); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, v.src.Close()) }()
		if err := v.known(ctx); err != nil {
			return err
		}
	}
	if err := v.look(ctx); err != nil {
		return err
	}
	v.print(a.stdout)
	if a.flags.repair {
		return v.repair(ctx)
	}
	return v.verdict()
}

// fewKeys is how many jobs are named of each kind.
const fewKeys = 5

// finding is one kind of thing that is wrong.
type finding struct {
	n    int
	keys []string // the first few, where they are known
}

func (f *finding) add(key string) {
	f.n++
	if key != "" && len(f.keys) < fewKeys {
		f.keys = append(f.keys, key)
	}
}

// verification is one look at a batch.
type verification struct {
	*app
	*session
	src    *producer.Source // nil without the file
	report producer.Report
	batch  producer.Batch

	answered, dead, queued, cancelled, unsubmitted int
	lost, doubled, orphaned, stuck                 finding
	idle                                           bool // no worker is there to finish what is on its way

	seed    maphash.Seed
	missing map[uint64]bool // the lost, by the hash of their keys
}

// known refuses a file that is not the batch's.
func (v *verification) known(ctx context.Context) error {
	var err error
	if v.limits, err = v.lineLimits(ctx); err != nil {
		return err
	}
	if v.report, err = v.src.Validate(ctx, v.limits); err != nil {
		return err
	}
	digest := hex.EncodeToString(v.report.Digest[:])
	if v.batch.Digest == digest || v.batch.Digest == "" && producer.BatchID(v.report.Digest, v.flags.model) == v.batch.ID {
		return nil
	}
	return hint(fmt.Errorf("%s is not the file that batch %s was made from", v.src.Name(), v.batch.ID),
		"it was %s; verify without a file counts only", firstOf(v.batch.File, "another"))
}

// look takes the inventory. Jobs that are nowhere are looked for twice: one that is replayed is on
// its way for an instant.
func (v *verification) look(ctx context.Context) error {
	workers, err := v.store.Workers(ctx)
	if err != nil {
		return err
	}
	v.idle = true
	for _, w := range workers {
		_, works := w.Routes[v.batch.Queue]
		v.idle = v.idle && !works
	}
	inv, err := v.store.Inventory(ctx, v.batch)
	if err != nil {
		return err
	}
	if v.src == nil {
		v.countAll(inv)
		return nil
	}
	if err := v.compare(ctx, inv, nil); err != nil || v.lost.n == 0 {
		return err
	}
	again, err := v.store.Inventory(ctx, v.batch)
	if err != nil {
		return err
	}
	first := v.missing
	v.lost, v.doubled, v.stuck, v.missing = finding{}, finding{}, finding{}, map[uint64]bool{}
	v.answered, v.dead, v.queued, v.cancelled, v.unsubmitted = 0, 0, 0, 0, 0
	return v.compare(ctx, again, first)
}

// countAll judges a batch without its file: jobs have no names then.
func (v *verification) countAll(inv *consumer.Inventory) {
	for p := range inv.All() {
		v.judge("", p)
	}
	nowhere := max(v.batch.Total-inv.Len(), 0)
	if v.batch.Stopped() {
		v.cancelled = nowhere
		return
	}
	v.unsubmitted = min(v.batch.Total-v.batch.Published, nowhere)
	v.lost.n = nowhere - v.unsubmitted
}

// compare goes through the file. before holds what an earlier look did not find; nil is anything.
func (v *verification) compare(ctx context.Context, inv *consumer.Inventory, before map[uint64]bool) error {
	place := 0
	for e, err := range v.src.Entries(ctx, v.report, v.limits) {
		if err != nil {
			return err
		}
		key, ok := entryKey(e, v.batch.Invalid > 0)
		if !ok {
			continue
		}
		place++
		p := inv.See(key)
		hash := maphash.String(v.seed, key)
		switch {
		case p != 0:
			v.judge(key, p)
		case v.batch.Stopped():
			v.cancelled++
		case place > v.batch.Published:
			v.unsubmitted++
		case before == nil || before[hash]:
			v.lost.add(key)
			v.missing[hash] = true
		}
	}
	var err error
	v.orphaned.n, v.orphaned.keys, err = inv.Orphans(ctx, v.store, v.batch.ID, fewKeys)
	return err
}

// judge puts a job that was found somewhere where it belongs.
func (v *verification) judge(key string, p consumer.Places) {
	onQueue := p.Has(consumer.OnQueue)
	switch {
	case p.Has(consumer.Answered):
		v.answered++
	case p.Has(consumer.Marked):
		v.dead++
	case onQueue && !v.batch.Stopped():
		v.queued++
	}
	switch {
	case p.Has(consumer.Doubled), p.Has(consumer.Answered | consumer.Buried):
		v.doubled.add(key)
	case p.Has(consumer.Marked) && !p.Has(consumer.Buried) && !onQueue: // its dead letter is lost
		v.stuck.add(key)
		if key != "" {
			v.missing[maphash.String(v.seed, key)] = true
		}
	case p.Has(consumer.Buried) && !p.Ended(): // a replay was interrupted
		v.stuck.add(key)
	case onQueue && v.idle && (p.Ended() || v.batch.Stopped()): // nobody takes it off the queue
		v.stuck.add(key)
	}
}

// entryKey is the key of a line of a file; invalid lines are jobs only where they were submitted.
func entryKey(e producer.Entry, invalidToo bool) (key string, ok bool) {
	if e.Err != nil {
		return fmt.Sprintf("l%d", e.Line), invalidToo // as producer.Decode names it
	}
	return e.Job.Key, true
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"nightshift/consumer"
)

func (a *app) deadEditCommand() *cobra.Command {
	var l letterFlags
	var sets []string
	var patch string
	cmd := &cobra.Command{
		Use:   "edit [BATCH/JOB...]",
		Short: "Change the requests that a replay will send",
		Long: "edit opens $VISUAL or $EDITOR on the request body of one dead letter, or changes any\n" +
			"number of them with --set and --patch. What comes out is checked as a line of a\n" +
			"file is, and members such as max_tokens for their type. The original is kept until\n" +
			"the job is replayed.\n\n" +
			"--set takes a path in the job's line and a value, JSON or else a text; null removes\n" +
			"a member, and objects are merged. --patch takes a file with a JSON merge patch\n" +
			"(RFC 7396) of the line, such as {\"body\":{\"max_tokens\":512}}.",
		Example: "  nightshift dead edit b3kq2m7xw4zt/request-17\n" +
			"  nightshift dead edit --class context_overflow --set body.max_tokens=512 --yes\n" +
			"  nightshift dead edit --batch b3kq2m7xw4zt --patch smaller.json --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := l.chosen(cmd, args)
			if err != nil {
				return err
			}
			patches, err := readPatches(sets, patch)
			if err != nil {
				return err
			}
			if len(patches) == 0 && len(args) != 1 {
				return usageError{hint(errors.New("edit: the editor takes one BATCH/JOB"), "--set and --patch change many")}
			}
			return a.letters(cmd.Context(), f, func(s *session) error { return a.deadEdit(cmd.Context(), s, f, patches) })
		},
		ValidArgsFunction: a.completeLetters,
	}
	l.changing(a, cmd, "")
	fs := cmd.Flags()
	fs.StringArrayVar(&sets, "set", nil, "set a member, such as `body.max_tokens=512`; may be repeated")
	fs.StringVar(&patch, "patch", "", "apply the JSON merge patch in `file`")
	return cmd
}

func readPatches(sets []string, file string) (patches []jsontext.Value, err error) {
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, hint(fmt.Errorf("read %s: %w", file, reason(err)), "--patch takes a file with a JSON merge patch")
		}
		if patch := jsontext.Value(text); !patch.IsValid() || patch.Kind() != jsontext.KindBeginObject {
			return nil, hint(fmt.Errorf("%s is no JSON object", file),
				`expected a merge patch such as {"body":{"max_tokens":512}}`)
		}
		patches = append(patches, text)
	}
	for _, set := range sets {
		patch, err := consumer.SetPatch(set)
		if err != nil {
			return nil, usageError{hint(fmt.Errorf("--set %w", err), "whole lists are set as JSON, or in an editor")}
		}
		patches = append(patches, patch)
	}
	return patches, nil
}

func (a *app) deadEdit(ctx context.Context, s *session, f consumer.Filter, patches []jsontext.Value) error {
	p, err := s.plan(ctx, f, 0)
	if err != nil {
		return err
	}
	if p.letters == 0 {
		printf(a.stderr, "no dead letters\n")
		return nil
	}
	edit := consumer.Edit{DryRun: true, Change: func(_ *consumer.DeadLetter, now []byte) (_ []byte, err error) {
		for _, patch := range patches {
			if now, err = consumer.PatchRequest(now, patch); err != nil {
				return nil, err
			}
		}
		return now, nil
	}}
	if len(patches) == 0 {
		if edit.Change, err = a.inEditor(ctx, s, f.IDs[0]); err != nil || edit.Change == nil {
			return err
		}
	}
	// All of them first, so that one that cannot be changed stops it before any is.
	if _, err := s.store.Edit(ctx, f, edit); err != nil {
		return wordsOfEdit(err)
	}
	if a.flags.dryRun {
		p.print(a.stdout, "would edit")
		return nil
	}
	if err := a.confirmed(p.letters, "dead letters"); err != nil {
		return err
	}
	edit.DryRun = false
	n, err := s.store.Edit(ctx, f, edit)
	if err != nil {
		return wordsOfEdit(err)
	}
	them := "them"
	if n == 1 {
		them = "it"
	}
	printf(a.stderr, "edited %s; nightshift dead replay sends %s\n", plural(n, "dead letter"), them)
	return nil
}

func wordsOfEdit(err error) error {
	if _, ok := errors.AsType[*consumer.EditError](err); ok {
		return hint(err, "what is edited must be a job with the same custom_id; nightshift dead show --reveal shows it")
	}
	return err
}

// inEditor lets the user change the body of one letter's request, or the whole message where it
// is no JSON; nil where nothing was changed.
func (a *app) inEditor(
	ctx context.Context, s *session, id string,
) (func(*consumer.DeadLetter, []byte) ([]byte, error), error) {
	batch, key, err := consumer.SplitID(id)
	if err != nil {
		return nil, err
	}
	shown, err := s.store.DeadLetter(ctx, batch, "", key)
	if err != nil {
		return nil, err
	}
	body, _ := consumer.RequestBody(shown.Request())
	if body == nil {
		body = shown.Request()
	}
	text := bytes.Clone(body)
	if v := jsontext.Value(text); v.Indent() == nil {
		text = v
	}
	text = append(text, '\n')
	after, err := edited(ctx, a, text)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(after, text) {
		printf(a.stderr, "nothing was changed\n")
		return nil, nil //nolint:nilnil // no change is no error
	}
	return func(l *consumer.DeadLetter, now []byte) ([]byte, error) {
		if l.Entry != shown.Entry {
			return nil, errors.New("somebody else changed it meanwhile")
		}
		v := jsontext.Value(bytes.Clone(bytes.TrimSpace(after)))
		if v.Compact() != nil {
			return nil, errors.New("what came out of the editor is not valid JSON")
		}
		return consumer.ReplaceBody(now, v), nil
	}, nil
}

// edited gives a text to the editor, in a file that only the user can read and that is gone after.
func edited(ctx context.Context, a *app, text []byte) ([]byte, error) {
	editor := strings.Fields(firstOf(os.Getenv("VISUAL"), os.Getenv("EDITOR")))
	if len(editor) == 0 {
		return nil, usageError{hint(errors.New("no editor"), "set $EDITOR, or use --set or --patch")}
	}
	f, err := os.CreateTemp("", "nightshift-*.json") // with mode 0600
	if err != nil {
		return nil, fmt.Errorf("make a file for the editor: %w", reason(err))
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("write the file for the editor: %w", reason(err))
	}
	cmd := exec.CommandContext(ctx, editor[0], append(editor[1:], f.Name())...) //nolint:gosec // the user's own choice
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.stdin, a.stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, hint(fmt.Errorf("editor %s: %w", editor[0], err), "nothing was changed")
	}
	after, err := os.ReadFile(f.Name())
	if err != nil {
		return nil, fmt.Errorf("read what was edited: %w", reason(err))
	}
	return after, nil
}

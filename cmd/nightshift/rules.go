package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/goccy/go-yaml"

	"nightshift/policy"
)

// newTable puts a provider's own rules before everybody's and both before the built-in ones; nil
// where the user has none.
func newTable(own, all []policy.Rule) (*policy.Table, error) {
	if len(own)+len(all) == 0 {
		return nil, nil //nolint:nilnil // the built-in table is shared and compiled once
	}
	return policy.NewTable(slices.Concat(own, all)...)
}

// classify judges a reply by the rules of the user, then by the built-in ones.
func (n named) classify(r policy.Reply) *policy.Fault {
	if n.table == nil {
		return policy.Classify(r)
	}
	return n.table.Classify(r)
}

// checkRules looks at every rule of the file, and names those without a name by their place.
func (c *config) checkRules(path string, text []byte) error {
	err := checkRules(path, text, "$.rules", c.Rules)
	for _, name := range slices.Sorted(maps.Keys(c.Providers)) {
		if err == nil {
			err = checkRules(path, text, "$.providers."+name+".rules", c.Providers[name].Rules)
		}
	}
	return err
}

func checkRules(path string, text []byte, where string, rules []policy.Rule) error {
	for i := range rules {
		place := path + lineOf(text, fmt.Sprintf("%s[%d]", where, i))
		given := rules[i].Name
		rules[i].Name = firstOf(given, place)
		if err := rules[i].Validate(); err != nil {
			return fmt.Errorf("%s: rule %q: %s", place, firstOf(given, strconv.Itoa(i+1)), oneLine(err.Error()))
		}
	}
	return nil
}

// lineOf finds where in the file something stands, as ":12"; "" where that cannot be told, as
// behind an anchor.
func lineOf(text []byte, where string) string {
	at, err := yaml.PathString(where)
	if err != nil {
		return ""
	}
	node, err := at.ReadNode(bytes.NewReader(text))
	if err != nil || node.GetToken() == nil {
		return ""
	}
	return fmt.Sprintf(":%d", node.GetToken().Position.Line)
}

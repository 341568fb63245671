package cli

import (
	"fmt"
	"io"
	"slices"

	"github.com/pillion-mesh/pillion/internal/cli/table"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// Write prints the check as people read it.
func (c *InjectionCheck) Write(w io.Writer) error {
	fmt.Fprintf(w, "%s\n\n", c.Object)
	var rows [][]string
	for _, r := range c.Webhooks {
		rows = append(rows, []string{r.Webhook, r.Revision, mark(r.Matches), r.Reason})
	}
	if err := table.Write(w, []string{"WEBHOOK", "REVISION", "INJECTED", "REASON"}, rows); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if c.Injected != (c.Decision.Outcome == inject.OutcomeInject) {
		fmt.Fprintf(w, "%s %s\n", mark(c.Injected), c.Verdict)
		if c.Advice != "" {
			fmt.Fprintf(w, "  to inject it: %s\n", c.Advice)
		}
		fmt.Fprint(w, "\nThe Injector, if it were asked:\n")
	}
	fmt.Fprint(w, c.Decision.Explain())
	for _, line := range append(slices.Clone(c.Notes), c.Actual) {
		if line != "" {
			fmt.Fprintf(w, "note: %s\n", line)
		}
	}
	return nil
}

func mark(yes bool) string {
	if yes {
		return "✔"
	}
	return "✘"
}

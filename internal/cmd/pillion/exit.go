package pillion

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit codes of every command.
const (
	exitFailed = 1
	exitUsage  = 64 // wrong usage; the nearest command or flag is named
	exitInput  = 65 // a file can't be read or parsed

	exitTimedOut  = 75 // what was waited for goes on by itself
	exitForbidden = 77 // the permission that is missing is named
	exitProblems  = 79 // ran well and found problems
)

// exitError is an error with an exit code of its own. With a nil err the command has said everything already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func exitCode(err error) int {
	var coded *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &coded):
		return coded.code
	}
	return exitFailed
}

func usageError(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

func inputError(err error) error { return &exitError{code: exitInput, err: err} }

// noArguments is cobra.NoArgs with our exit code.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usageError("%q takes no argument, got %q; see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
}

func unknownCommand(cmd *cobra.Command, name string) error {
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return usageError("there is no command %q; %ssee %s --help", name, didYouMean(cmd.CommandPath()+" ", name, names), cmd.CommandPath())
}

var flagInMessage = regexp.MustCompile(`^unknown flag: --([^ ]+)`)

func unknownFlag(cmd *cobra.Command, err error) error {
	match := flagInMessage.FindStringSubmatch(err.Error())
	if match == nil {
		return usageError("%w; see %s --help", err, cmd.CommandPath())
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return usageError("there is no flag --%s; %ssee %s --help", match[1], didYouMean("--", match[1], names), cmd.CommandPath())
}

// didYouMean names the nearest of names, if it is near.
func didYouMean(prefix, name string, names []string) string {
	best, distance := "", max(2, len(name)/3)+1
	for _, candidate := range names {
		if d := editDistance(name, candidate); d < distance {
			best, distance = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %s%s? ", prefix, best)
}

// editDistance is how many letters have to be added, removed or changed to make b of a.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

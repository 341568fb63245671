// Package pattern compiles regular expressions of bounded cost. Repetitions such as a{999}b{999}c{999} are short to
// write and take much: what comes from a configuration, a query or an expression is measured first.
package pattern

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// Bounds of one expression.
const (
	MaxSource  = 64 << 10 // bytes
	MaxProgram = 4096     // instructions
)

// Compile is regexp.Compile of what Measure finds small enough.
func Compile(source string) (*regexp.Regexp, error) {
	if _, err := Measure(source); err != nil {
		return nil, err
	}
	return regexp.Compile(source)
}

// Measure is the number of instructions source compiles to. The error says what is wrong with it, or that it is over a
// bound; it doesn't repeat the source.
func Measure(source string) (int, error) {
	if len(source) > MaxSource {
		return 0, fmt.Errorf("it is longer than %d bytes", MaxSource)
	}
	tree, err := syntax.Parse(source, syntax.Perl)
	if err != nil {
		return 0, fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	// The estimate comes first: compiling repetitions is what the bound is there to prevent.
	size := estimate(tree)
	if size <= 4*MaxProgram {
		program, err := syntax.Compile(tree.Simplify())
		if err == nil {
			size = len(program.Inst)
		}
	}
	if size > MaxProgram {
		return 0, fmt.Errorf("it needs more than %d instructions", MaxProgram)
	}
	return size, nil
}

// estimate is about the number of instructions of an expression, and never costs more than its text.
func estimate(tree *syntax.Regexp) int {
	size := max(1, len(tree.Rune))
	if tree.Op == syntax.OpCharClass {
		size = 1
	}
	for _, sub := range tree.Sub {
		size = min(size+estimate(sub), 1<<30)
	}
	if tree.Op == syntax.OpRepeat {
		size = min(size*max(1, tree.Min, tree.Max), 1<<30)
	}
	return size
}

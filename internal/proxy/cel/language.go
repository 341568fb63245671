package cel

import (
	"sync"

	"github.com/google/cel-go/common/containers"
	"github.com/google/cel-go/common/stdlib"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/interpreter"
	"github.com/google/cel-go/parser"
)

// language is put together of cel-go's parts: its package cel, which does the same, links text/template.
type language struct {
	parser      *parser.Parser
	interpreter interpreter.Interpreter
}

// theLanguage is made with the first expression.
var theLanguage = sync.OnceValues(newLanguage)

func newLanguage() (*language, error) {
	parse, err := parser.NewParser(parser.Macros(parser.HasMacro), parser.MaxRecursionDepth(maxNesting), parser.ExpressionSizeCodePointLimit(maxText))
	if err != nil {
		return nil, err
	}
	dispatcher := interpreter.NewDispatcher()
	for _, f := range stdlib.Functions() {
		overloads, err := f.Bindings()
		if err != nil {
			return nil, err
		}
		if err := dispatcher.Add(overloads...); err != nil {
			return nil, err
		}
	}
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, err
	}
	attributes := interpreter.NewAttributeFactory(containers.DefaultContainer, registry, registry)
	return &language{parse, interpreter.NewInterpreter(dispatcher, containers.DefaultContainer, registry, registry, attributes)}, nil
}

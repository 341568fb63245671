package inject

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// functions are those of CEL's strings extension that templates need. The extension itself isn't used: what its
// functions make has no bound, and a dozen calls of replace in a row would take all the memory there is.
func functions() []cel.EnvOption {
	text, list := cel.StringType, cel.ListType(cel.StringType)
	method := func(name string, result *cel.Type, f func(args []ref.Val) ref.Val, args ...*cel.Type) cel.EnvOption {
		return cel.Function(name, cel.MemberOverload(fmt.Sprintf("pillion_%s_%d", name, len(args)), args, result,
			cel.FunctionBinding(func(args ...ref.Val) ref.Val { return f(args) })))
	}
	return []cel.EnvOption{
		method("replace", text, replaceText, text, text, text),
		method("split", list, splitText, text, text),
		method("join", text, joinTexts, list),
		method("join", text, joinTexts, list, text),
		method("substring", text, subText, text, cel.IntType),
		method("substring", text, subText, text, cel.IntType, cel.IntType),
		method("lowerAscii", text, mapText('A', 'Z', 'a'-'A'), text),
		method("upperAscii", text, mapText('a', 'z', 'A'-'a'), text),
		method("trim", text, func(args []ref.Val) ref.Val { return types.String(strings.TrimSpace(textOf(args[0]))) }, text),
	}
}

func textOf(v ref.Val) string {
	s, _ := v.(types.String) // the checker has seen to it
	return string(s)
}

func tooLarge(most int) ref.Val { return types.NewErr("the value is larger than %d bytes", most) }

func replaceText(args []ref.Val) ref.Val {
	text, old, with := textOf(args[0]), textOf(args[1]), textOf(args[2])
	if len(text)+strings.Count(text, old)*(len(with)-len(old)) > maxValue {
		return tooLarge(maxValue)
	}
	return types.String(strings.ReplaceAll(text, old, with))
}

func splitText(args []ref.Val) ref.Val {
	text, separator := textOf(args[0]), textOf(args[1])
	if len(text)+strings.Count(text, separator)*perValue > maxValue {
		return tooLarge(maxValue)
	}
	return types.NewStringList(types.DefaultTypeAdapter, strings.Split(text, separator))
}

func joinTexts(args []ref.Val) ref.Val {
	separator := ""
	if len(args) == 2 {
		separator = textOf(args[1])
	}
	var parts []string
	size := 0
	for it := args[0].(traits.Lister).Iterator(); it.HasNext() == types.True; {
		part, isText := it.Next().(types.String)
		if !isText {
			return types.NewErr("join wants a list of strings")
		}
		parts = append(parts, string(part))
		if size += len(part) + len(separator); size-len(separator) > maxValue {
			return tooLarge(maxValue)
		}
	}
	return types.String(strings.Join(parts, separator))
}

// subText counts characters, as CEL does.
func subText(args []ref.Val) ref.Val {
	runes := []rune(textOf(args[0]))
	from, _ := args[1].(types.Int)
	to := types.Int(len(runes))
	if len(args) == 3 {
		to, _ = args[2].(types.Int)
	}
	if from < 0 || to > types.Int(len(runes)) || from > to {
		return types.NewErr("no substring from %d to %d of %d characters", from, to, len(runes))
	}
	return types.String(string(runes[from:to]))
}

func mapText(first, last, shift rune) func([]ref.Val) ref.Val {
	return func(args []ref.Val) ref.Val {
		return types.String(strings.Map(func(r rune) rune {
			if r >= first && r <= last && r < utf8.RuneSelf {
				return r + shift
			}
			return r
		}, textOf(args[0])))
	}
}

package inject

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// Limits of templates. Whoever writes an Injector must not stop every replica: neither by an expression that never ends,
// nor by one that makes a value nobody can hold. All but the first are the same on a busy machine as on an idle one: a
// good Injector mustn't be refused because its node has much to do. The first is for what the others don't see; who
// reaches it is told to come again (TimeoutError), not that something is wrong.
const (
	compileTime = 30 * time.Second // a whole Injector: folding and the corpus too; usually some 30 ms
	maxCost     = 20_000           // one expression of an Injector's own, in CEL's units; about one for each thing done
	maxWork     = 200_000          // all expressions for one pod, in the same units: some 10 ms
	maxValue    = 64 << 10         // one value of such an expression, in bytes of text and perValue for each part
	perValue    = 16
	maxMade     = 1 << 20 // all that expressions make for one pod
)

// TimeoutError says that an Injector took too long to compile. That is no fault of it: the machine may have been busy.
type TimeoutError struct{ Injector string }

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("compiling injector %q took longer than %s, the limit for all its templates together: "+
		"either this machine is busy, or they are too long or too many", e.Injector, compileTime)
}

// Unwrap makes it a missed deadline.
func (e *TimeoutError) Unwrap() error { return context.DeadlineExceeded }

// bounds are those of one expression.
type bounds struct {
	cost  uint64
	value int
}

// boundsOf a template's expressions. Ours say something of each of the pod's containers, however many, and take the pod
// author's word for nothing else.
func (p *Program) boundsOf(template string) bounds {
	own := func(t v1alpha1.Template) bool { return t.Name == template }
	if slices.ContainsFunc(p.spec().Templates, own) {
		return bounds{maxCost, maxValue}
	}
	return bounds{5 * maxCost, 8 * maxValue}
}

// step is a step of an expression whose values have a bound. A list that holds itself thrice, and that one thrice
// again, is small in memory and endless for who walks it; so parts count each time they are there.
func (b bounds) step(step interpreter.Interpretable) (interpreter.Interpretable, error) {
	switch step := step.(type) {
	case interpreter.InterpretableCall:
		return boundedCall{step, b.value}, nil
	case interpreter.InterpretableConstructor:
		return boundedConstructor{step, b.value}, nil
	}
	return step, nil
}

type boundedCall struct {
	interpreter.InterpretableCall
	most int
}

func (b boundedCall) Eval(a interpreter.Activation) ref.Val {
	v := b.InterpretableCall.Eval(a)
	if list, building := v.(traits.MutableLister); building && !looksAt(list) {
		return v
	}
	v = bound(v, b.most)
	if list, isList := v.(traits.Lister); isList && b.Function() == operators.Add {
		return flat(list)
	}
	return v
}

// looksAt says whether a list that a loop makes is to be measured now. Its items were, each by itself; to walk it for
// every one of them would take the square of its length.
func looksAt(list traits.MutableLister) bool {
	size, known := list.Size().(types.Int)
	return !known || size%16 == 0
}

// flat is a list by itself: CEL joins two by reference, and walking a list joined again and again takes the square of
// its length.
func flat(list traits.Lister) ref.Val {
	if _, building := list.(traits.MutableLister); building {
		return list
	}
	var items []ref.Val
	for it := list.Iterator(); it.HasNext() == types.True; {
		items = append(items, it.Next())
	}
	return types.NewRefValList(types.DefaultTypeAdapter, items)
}

type boundedConstructor struct {
	interpreter.InterpretableConstructor
	most int
}

func (b boundedConstructor) Eval(a interpreter.Activation) ref.Val {
	return bound(b.InterpretableConstructor.Eval(a), b.most)
}

func bound(v ref.Val, most int) ref.Val {
	if _, isBool := v.(types.Bool); isBool || room(v, most) >= 0 {
		return v
	}
	return tooLarge(most)
}

// room is what is left of some bytes after v; negative if v is larger. It looks no further than that.
func room(v ref.Val, left int) int {
	left -= perValue
	switch v := v.(type) {
	case types.String:
		return left + perValue - len(v)
	case types.Bytes:
		return left + perValue - len(v)
	case *types.Optional:
		if v.HasValue() {
			return room(v.GetValue(), left)
		}
	case traits.Lister:
		for it := v.Iterator(); left >= 0 && it.HasNext() == types.True; {
			left = room(it.Next(), left-perValue)
		}
	case traits.Mapper:
		for it := v.Iterator(); left >= 0 && it.HasNext() == types.True; {
			key := it.Next()
			left = room(v.Get(key), room(key, left-perValue))
		}
	}
	return left
}

// spend counts what expressions made for this pod.
func (v *vars) spend(bytes int) error {
	if v.made += bytes; v.made > maxMade {
		return fmt.Errorf("the templates' expressions make more than %d bytes for one pod", maxMade)
	}
	return nil
}

// work counts what evaluating them took.
func (v *vars) work(details *cel.EvalDetails) error {
	if cost := details.ActualCost(); cost != nil {
		v.worked += *cost
	}
	if v.worked > maxWork {
		return fmt.Errorf("the templates' expressions take more than %d steps for one pod", maxWork)
	}
	return nil
}

// sizeOf is about the bytes a value takes.
func sizeOf(v *rawjson.Value) int {
	size := perValue + len(v.Raw())
	if v.Raw() != "" {
		return size
	}
	for _, m := range v.Members() {
		size += len(m.Key) + sizeOf(m.Value)
	}
	for _, item := range v.Items() {
		size += sizeOf(item)
	}
	return size
}

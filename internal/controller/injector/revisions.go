package injector

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// Revisions say which Injectors an operator serves: those whose revision one of the globs matches, and none with a ! before
// it. Others are another operator's; of those it only respects the names. Without a glob that has no ! it is every other
// revision.
type Revisions []string

// not before a glob excludes what it matches.
const not = "!"

// ParseRevisions reads a comma-separated list of globs as path.Match has them.
func ParseRevisions(list string) (Revisions, error) {
	var globs Revisions
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		glob := strings.TrimPrefix(item, not)
		if glob == "" {
			return nil, fmt.Errorf("%q: want globs of revisions, separated by commas, such as default,canary-* or !canary", list)
		}
		if _, err := path.Match(glob, ""); err != nil {
			return nil, fmt.Errorf("%q: %w; want a glob of revisions, such as canary-*", item, err)
		}
		globs = append(globs, item)
	}
	return globs, nil
}

// Serve says whether Injectors of a revision are this operator's.
func (r Revisions) Serve(revision string) bool {
	if revision == "" {
		revision = v1alpha1.NameDefault
	}
	served := !slices.ContainsFunc(r, func(glob string) bool { return !strings.HasPrefix(glob, not) })
	for _, glob := range r {
		glob, excluded := strings.CutPrefix(glob, not)
		matches, err := path.Match(glob, revision)
		switch {
		case err != nil || !matches:
		case excluded:
			return false
		default:
			served = true
		}
	}
	return served
}

// Serves says whether an Injector is this operator's.
func (r Revisions) Serves(inj *v1alpha1.Injector) bool { return r.Serve(inj.Spec.Revision) }

// claimsElsewhere says whether an Injector that another operator serves has its names by now: like ours, it claims none
// before some version of it compiled, and its operator shows the hash of that.
func claimsElsewhere(inj *v1alpha1.Injector) bool { return inj.Status.Hash != "" }

// matters lets through what changes outcomes: specs, and the first hash of another operator's Injector.
func (r Revisions) matters() predicate.Predicate {
	first := predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.Injector)
		now, ok2 := e.ObjectNew.(*v1alpha1.Injector)
		return ok && ok2 && !r.Serves(now) && claimsElsewhere(before) != claimsElsewhere(now)
	}}
	return predicate.Or(predicate.GenerationChangedPredicate{}, first)
}

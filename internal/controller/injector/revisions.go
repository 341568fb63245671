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

// Revisions say which Injectors an operator serves: those whose revision one of the globs matches. Others are another
// operator's; of those it only respects the names. No glob is every revision.
type Revisions []string

// ParseRevisions reads a comma-separated list of globs as path.Match has them.
func ParseRevisions(list string) (Revisions, error) {
	var globs Revisions
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			return nil, fmt.Errorf("%q: want globs of revisions, separated by commas, such as default,canary-*", list)
		}
		if _, err := path.Match(item, ""); err != nil {
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
	return len(r) == 0 || slices.ContainsFunc(r, func(glob string) bool {
		matches, err := path.Match(glob, revision)
		return err == nil && matches
	})
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

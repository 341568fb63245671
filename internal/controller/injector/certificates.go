package injector

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// Identity is what all Injectors of this operator have in common: the certificates it serves under.
type Identity struct {
	Certificates v1alpha1.Certificates
	Injector     string // whose they are; "": there is none, so they are the defaults
	Known        bool   // every Injector was read; else it is what is known so far
}

// identify takes the oldest Injector's: a new one, or an edit of a younger one, changes nothing that works.
func identify(inEffect []*v1alpha1.Injector) Identity {
	if len(inEffect) == 0 {
		return Identity{Certificates: v1alpha1.DefaultCertificates(), Known: true}
	}
	oldest := slices.MinFunc(inEffect, func(a, b *v1alpha1.Injector) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return Identity{Certificates: *oldest.Spec.Certificates.DeepCopy(), Injector: oldest.Name, Known: true}
}

// identity is identify for what compiled. While the last good version of an Injector can't be read, that one may be the
// oldest: what was decided before stays.
func identity(compiled map[string]*Compiled, before Identity) Identity {
	var inEffect []*v1alpha1.Injector
	known := true
	for _, one := range compiled {
		switch {
		case one.InEffect != nil:
			inEffect = append(inEffect, one.InEffect)
		case one.Pending != nil:
			known = false
		}
	}
	if !known && before.Known {
		return before
	}
	now := identify(inEffect)
	now.Known = known
	return now
}

// Certificates are in effect for this operator, on every replica. They are the defaults where there is no Injector, or
// none was read yet.
func (c *Compiler) Certificates() v1alpha1.Certificates {
	if s := c.state.Load(); s != nil {
		return *s.Identity.Certificates.DeepCopy()
	}
	return v1alpha1.DefaultCertificates()
}

// CertificatesKnown says whether Certificates are more than a guess of a process that has just started: to act on that
// would make a CA for a cluster whose certificates come from elsewhere.
func (c *Compiler) CertificatesKnown() bool {
	s := c.state.Load()
	return s != nil && s.Identity.Known
}

// disagreement says how an Injector's certificates differ from those in effect; "" if they don't. One that has the
// defaults leaves it to the others.
func (i Identity) disagreement(inj *v1alpha1.Injector) string {
	if inj == nil || i.Injector == "" || i.Injector == inj.Name {
		return ""
	}
	defaults := v1alpha1.DefaultCertificates()
	wanted := settings(&inj.Spec.Certificates)
	if slices.Equal(wanted, settings(&defaults)) {
		return ""
	}
	for n, is := range settings(&i.Certificates) {
		if n >= len(wanted) || wanted[n] != is {
			return fmt.Sprintf("the older Injector %q decides for all Injectors of this operator, and its spec.certificates.%s is %s; set it there, and remove spec.certificates here",
				i.Injector, is.field, is.value)
		}
	}
	return ""
}

// setting is a field of spec.certificates as users write it.
type setting struct{ field, value string }

// settings are the fields that count; those of other sources don't.
func settings(c *v1alpha1.Certificates) []setting {
	all := []setting{{"source", string(c.Source)}, {"caBundle", string(c.CABundle)}, {"probe", string(c.Probe)}}
	switch c.Source {
	case v1alpha1.CertificatesSelfManaged:
		all = append(all, setting{"selfManaged.caDuration", c.SelfManaged.CADuration.Duration.String()},
			setting{"selfManaged.leafDuration", c.SelfManaged.LeafDuration.Duration.String()})
	case v1alpha1.CertificatesCertManager:
		all = append(all, setting{"certManager.issuerRef", issuer(c.CertManager.IssuerRef)},
			setting{"certManager.duration", c.CertManager.Duration.Duration.String()})
	case v1alpha1.CertificatesProvided:
		name := "unset"
		if ref := c.Provided.SecretRef; ref != nil {
			name = ref.Name
		}
		all = append(all, setting{"provided.secretRef", name})
	}
	return all
}

func issuer(ref *v1alpha1.IssuerRef) string {
	if ref == nil {
		return "unset"
	}
	return ref.Kind + "." + ref.Group + "/" + ref.Name
}

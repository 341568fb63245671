package v1alpha1

import (
	"regexp"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateCertificates(c *Certificates, path *field.Path) field.ErrorList {
	errs := oneOf(path.Child("source"), c.Source, CertificatesSelfManaged, CertificatesCertManager, CertificatesProvided)
	errs = append(errs, oneOf(path.Child("caBundle"), c.CABundle, BundleManage, BundleExternal)...)
	errs = append(errs, oneOf(path.Child("probe"), c.Probe, ProbeAuto, ProbeOff)...)
	if c.CABundle == BundleExternal && c.Source == CertificatesSelfManaged {
		errs = append(errs, field.Invalid(path.Child("caBundle"), c.CABundle,
			"leaves the bundle to others, who can't know the operator's own CA; remove it, or set source to CertManager or Provided"))
	}
	errs = append(errs, validateSelfManaged(&c.SelfManaged, path.Child("selfManaged"))...)
	errs = append(errs, validateCertManager(&c.CertManager, path.Child("certManager"))...)
	if ref := c.Provided.SecretRef; ref != nil {
		errs = append(errs, subdomain(path.Child("provided", "secretRef", "name"), ref.Name)...)
	}
	return errs
}

func validateSelfManaged(s *SelfManagedCertificates, path *field.Path) field.ErrorList {
	errs := atLeast(path.Child("caDuration"), s.CADuration.Duration, 24*time.Hour)
	errs = append(errs, atLeast(path.Child("leafDuration"), s.LeafDuration.Duration, time.Hour)...)
	if len(errs) == 0 && s.LeafDuration.Duration > s.CADuration.Duration/4 {
		errs = append(errs, field.Invalid(path.Child("leafDuration"), s.LeafDuration.Duration.String(),
			"want at most a quarter of caDuration, "+(s.CADuration.Duration/4).String()))
	}
	return errs
}

// kindName is what a kind of Kubernetes looks like.
var kindName = regexp.MustCompile(`^[A-Z][A-Za-z0-9]{0,62}$`)

func validateCertManager(c *CertManagerCertificates, path *field.Path) field.ErrorList {
	errs := atLeast(path.Child("duration"), c.Duration.Duration, time.Hour)
	ref, at := c.IssuerRef, path.Child("issuerRef")
	if ref == nil {
		return errs
	}
	errs = append(errs, subdomain(at.Child("name"), ref.Name)...)
	errs = append(errs, subdomain(at.Child("group"), ref.Group)...)
	if !kindName.MatchString(ref.Kind) {
		errs = append(errs, field.Invalid(at.Child("kind"), ref.Kind, "want a kind, such as Issuer or ClusterIssuer"))
	}
	return errs
}

func atLeast(path *field.Path, d, least time.Duration) field.ErrorList {
	if d >= least {
		return nil
	}
	return field.ErrorList{field.Invalid(path, d.String(), "want "+least.String()+" or more")}
}

func subdomain(path *field.Path, value string) field.ErrorList {
	var errs field.ErrorList
	for _, message := range validation.IsDNS1123Subdomain(value) {
		errs = append(errs, field.Invalid(path, value, message))
	}
	return errs
}

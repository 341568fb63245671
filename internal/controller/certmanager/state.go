package certmanager

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// title names an object in a message.
func title(o *unstructured.Unstructured) string {
	return o.GetKind() + " " + o.GetNamespace() + "/" + o.GetName()
}

// explain sorts failures of reading and writing: what a user has to see to is a state.
func (w Want) explain(object *unstructured.Unstructured, err error) (State, error) {
	not := func(reason, format string, args ...any) (State, error) {
		return State{Reason: reason, Message: title(object) + ": " + fmt.Sprintf(format, args...)}, nil
	}
	switch {
	case errors.Is(err, errNoKind):
		return State{Reason: CertManagerMissing, Message: "the API server knows no " + object.GetKind() + " of " + cmv1.SchemeGroupVersion.String() +
			": install cert-manager, or set spec.certificates.source to SelfManaged; this is tried again each minute"}, nil
	case errors.Is(err, errNotOurs):
		return not(NotOurs, "it is there but isn't ours (%v); rename it, or delete it, or give it the label with the value %q if the operator may have it", err, w.Service)
	case apierrors.IsForbidden(err):
		return not(Forbidden, "the API server forbids it (%v); if that is for want of a permission, Role %s/%s has to allow get, create and patch of it", err, w.Namespace, Role)
	case apierrors.IsInvalid(err), apierrors.IsNotAcceptable(err), apierrors.IsBadRequest(err):
		return not(Rejected, "it isn't accepted (%v)", err)
	}
	return State{}, fmt.Errorf("keeping %s: %w", title(object), err)
}

// judge goes through the Certificates, our own CA's first: what one lacks, the next waits for.
func (w Want) judge(ctx context.Context, c client.Reader, certificates []*unstructured.Unstructured) (State, error) {
	issuer, found, err := w.findIssuer(ctx, c)
	if err != nil {
		return State{}, err
	}
	if !found {
		return State{Reason: IssuerNotFound, Message: fmt.Sprintf("spec.certificates.certManager.issuerRef: there is no %s; create it, or name another", w.issuerTitle())}, nil
	}
	for _, object := range certificates {
		certificate := &cmv1.Certificate{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, certificate); err != nil {
			return State{}, fmt.Errorf("decoding %s: %w", title(object), err)
		}
		why := unready(certificate)
		if why == "" {
			continue
		}
		parts := []string{title(object) + " isn't ready: " + why}
		for _, more := range []string{w.request(ctx, c, certificate), issuer} {
			if more != "" {
				parts = append(parts, more)
			}
		}
		return State{Reason: NotReady, Message: cut(strings.Join(parts, "; "))}, nil
	}
	return State{Ready: true}, nil
}

// unready is empty if cert-manager has issued what the spec asks for now.
func unready(c *cmv1.Certificate) string {
	i := slices.IndexFunc(c.Status.Conditions, func(c cmv1.CertificateCondition) bool { return c.Type == cmv1.CertificateConditionReady })
	switch {
	case i < 0:
		return "cert-manager hasn't looked at it yet; see that its controller runs"
	case c.Status.Conditions[i].Status != cmmeta.ConditionTrue:
		return c.Status.Conditions[i].Message + failure(c)
	case c.Status.Conditions[i].ObservedGeneration < c.Generation:
		return "cert-manager hasn't looked at its latest change yet"
	}
	return ""
}

// failure is what the last attempt said, if it failed.
func failure(c *cmv1.Certificate) string {
	for _, condition := range c.Status.Conditions {
		if condition.Type == cmv1.CertificateConditionIssuing && condition.Status == cmmeta.ConditionFalse {
			return "; " + condition.Message
		}
	}
	return ""
}

// request is what the latest CertificateRequest of a Certificate waits for. cert-manager says there, and not in the
// Certificate, that the issuer doesn't exist or why it doesn't sign. Nothing depends on it but the words of a message:
// if it can't be read, they are fewer.
func (w Want) request(ctx context.Context, c client.Reader, certificate *cmv1.Certificate) string {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(cmv1.SchemeGroupVersion.WithKind("CertificateRequestList"))
	if c.List(ctx, list, client.InNamespace(w.Namespace), client.Limit(500)) != nil {
		return ""
	}
	var latest *unstructured.Unstructured
	for i := range list.Items {
		r := &list.Items[i]
		if metav1.IsControlledBy(r, certificate) && (latest == nil || latest.GetCreationTimestamp().Time.Before(r.GetCreationTimestamp().Time)) {
			latest = r
		}
	}
	if latest == nil {
		return ""
	}
	return complaint(latest)
}

// complaint is what an object's Ready condition says unless it is true.
func complaint(o *unstructured.Unstructured) string {
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, condition := range conditions {
		c, ok := condition.(map[string]any)
		if !ok || c["type"] != "Ready" || c["status"] == "True" {
			continue
		}
		if message, ok := c["message"].(string); ok && message != "" {
			return o.GetKind() + " " + o.GetName() + ": " + message
		}
	}
	return ""
}

// findIssuer looks for the user's issuer, and gives its own complaint. Kinds of other groups aren't ours to read, and
// ClusterIssuers only where somebody allowed it: of those the CertificateRequest tells.
func (w Want) findIssuer(ctx context.Context, c client.Reader) (says string, found bool, err error) {
	if w.IssuerRef == nil {
		return "", true, nil
	}
	ref := w.issuer()
	if ref.Group != group || ref.Kind != cmv1.IssuerKind && ref.Kind != cmv1.ClusterIssuerKind {
		return "", true, nil
	}
	want := &unstructured.Unstructured{}
	want.SetGroupVersionKind(cmv1.SchemeGroupVersion.WithKind(ref.Kind))
	want.SetName(ref.Name)
	if ref.Kind == cmv1.IssuerKind {
		want.SetNamespace(w.Namespace)
	}
	live, err := get(ctx, c, want)
	switch {
	case apierrors.IsForbidden(err), errors.Is(err, errNoKind):
		return "", true, nil
	case err != nil:
		return "", false, fmt.Errorf("reading %s: %w", w.issuerTitle(), err)
	case live == nil:
		return "", false, nil
	}
	return complaint(live), true, nil
}

func (w Want) issuerTitle() string {
	ref := w.issuer()
	if ref.Kind == cmv1.IssuerKind {
		return ref.Kind + " " + w.Namespace + "/" + ref.Name
	}
	return ref.Kind + " " + ref.Name
}

// cut keeps a message short enough for a condition, whatever cert-manager and its issuers write.
func cut(text string) string {
	const most = 2000
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

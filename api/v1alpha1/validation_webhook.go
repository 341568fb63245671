package v1alpha1

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateWebhook(s *InjectorSpec, spec *field.Path) field.ErrorList {
	w, path := &s.Webhook, spec.Child("webhook")
	errs := oneOf(path.Child("mode"), w.Mode, WebhookManaged, WebhookField)
	errs = append(errs, oneOf(path.Child("failurePolicy"), w.FailurePolicy, "Fail", "Ignore")...)
	errs = append(errs, oneOf(path.Child("reinvocationPolicy"), w.ReinvocationPolicy, "IfNeeded", "Never")...)
	errs = append(errs, oneTo(path.Child("timeoutSeconds"), int64(w.TimeoutSeconds), 30)...)
	if w.Service != nil {
		if w.URL != "" {
			errs = append(errs, field.Invalid(path.Child("url"), w.URL, "service and url exclude each other; remove one"))
		}
		errs = append(errs, label(path.Child("service", "name"), w.Service.Name)...)
		errs = append(errs, label(path.Child("service", "namespace"), w.Service.Namespace)...)
		errs = append(errs, oneTo(path.Child("service", "port"), int64(w.Service.Port), 65535)...)
	}
	return append(errs, validateDegrade(s, spec.Child("degrade"))...)
}

func validateDegrade(s *InjectorSpec, path *field.Path) field.ErrorList {
	errs := oneOf(path.Child("mode"), s.Degrade.Mode, DegradeNever, DegradeIgnore)
	if s.Degrade.Mode == DegradeIgnore && s.Webhook.Mode == WebhookField {
		errs = append(errs, field.Invalid(path.Child("mode"), s.Degrade.Mode, "changes failurePolicy, which isn't ours with webhook.mode Field; choose one of the two"))
	}
	errs = append(errs, lasts(path.Child("after"), s.Degrade.After.Duration)...)
	return append(errs, lasts(path.Child("restoreAfter"), s.Degrade.RestoreAfter.Duration)...)
}

func lasts(path *field.Path, d time.Duration) field.ErrorList {
	if d >= time.Second && d <= time.Hour {
		return nil
	}
	return field.ErrorList{field.Invalid(path, d.String(), "want 1s to 1h")}
}

var clock = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`)

func validateWorkload(w *Workload, path *field.Path) field.ErrorList {
	errs := oneOf(path.Child("evict"), w.Evict, EvictNever, EvictMissing, EvictMissingAndStale)
	errs = append(errs, oneTo(path.Child("evictionsPerMinute"), int64(w.EvictionsPerMinute), 30)...)
	for n, window := range w.MaintenanceWindows {
		at := path.Child("maintenanceWindows").Index(n)
		for i, day := range window.Days {
			errs = append(errs, oneOf(at.Child("days").Index(i), day, "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")...)
		}
		for name, value := range map[string]string{"start": window.Start, "end": window.End} {
			if !clock.MatchString(value) {
				errs = append(errs, field.Invalid(at.Child(name), value, "want HH:MM, such as 02:30"))
			}
		}
		if _, err := time.LoadLocation(window.TimeZone); err != nil || window.TimeZone == "Local" {
			errs = append(errs, field.Invalid(at.Child("timeZone"), window.TimeZone, "want the name of a time zone, such as Europe/Berlin or UTC"))
		}
	}
	return errs
}

func validateRatio(r *ResourceRatio, path *field.Path) field.ErrorList {
	if r == nil {
		return nil
	}
	var errs field.ErrorList
	for _, share := range []struct {
		path  *field.Path
		ratio *Ratio
	}{
		{path.Child("requests", "cpu"), r.Requests.CPU}, {path.Child("requests", "memory"), r.Requests.Memory},
		{path.Child("limits", "cpu"), r.Limits.CPU}, {path.Child("limits", "memory"), r.Limits.Memory},
	} {
		if share.ratio == nil {
			continue
		}
		errs = append(errs, oneTo(share.path.Child("percent"), int64(share.ratio.Percent), 1000)...)
		bounds := []*resource.Quantity{share.ratio.Min, share.ratio.Max}
		if slices.ContainsFunc(bounds, func(q *resource.Quantity) bool { return q != nil && q.Sign() < 0 }) {
			errs = append(errs, field.Invalid(share.path, fmt.Sprintf("%v to %v", share.ratio.Min, share.ratio.Max), "want quantities of 0 or more"))
		}
		if share.ratio.Min != nil && share.ratio.Max != nil && share.ratio.Min.Cmp(*share.ratio.Max) > 0 {
			errs = append(errs, field.Invalid(share.path.Child("min"), share.ratio.Min.String(), "is above max "+share.ratio.Max.String()))
		}
	}
	return errs
}

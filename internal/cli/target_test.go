package cli

import (
	"errors"
	"testing"
)

func TestParseTarget(t *testing.T) {
	for _, test := range []struct{ argument, kind, namespace, name string }{
		{"pay-7c9f", "Pod", "shop", "pay-7c9f"},
		{"pod/pay", "Pod", "shop", "pay"},
		{"deploy/pay", "Deployment", "shop", "pay"},
		{"Deployments/pay", "Deployment", "shop", "pay"},
		{"sts/db.other", "StatefulSet", "shop", "db.other"}, // Fetch tries the namespace
		{"cj/nightly", "CronJob", "shop", "nightly"},
	} {
		got, err := ParseTarget(test.argument, "shop")
		if err != nil || got.Kind != test.kind || got.Name != test.name || got.Namespace != test.namespace {
			t.Errorf("ParseTarget(%q) = %+v, %v; want %s %s/%s", test.argument, got, err, test.kind, test.namespace, test.name)
		}
	}
	for _, argument := range []string{"", "/", "deploy/", "service/pay", "deploy/a/b"} {
		var usage *UsageError
		if got, err := ParseTarget(argument, "shop"); !errors.As(err, &usage) {
			t.Errorf("ParseTarget(%q) = %+v, %v; want a usage error", argument, got, err)
		}
	}
}

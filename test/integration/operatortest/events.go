package operatortest

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Event waits for an Event on an Injector whose message has all of parts.
func (e *Env) Event(reason string, parts ...string) {
	e.T.Helper()
	e.EventFor("default", "Injector", "", reason, parts...)
}

// EventFor waits for one on an object of that kind, with that name unless it is empty.
func (e *Env) EventFor(namespace, kind, name, reason string, parts ...string) {
	e.T.Helper()
	e.Eventually(fmt.Sprintf("an Event %s on %s %s with %q", reason, kind, name, parts), func() error {
		list, err := e.Cluster.Client.CoreV1().Events(namespace).List(e.Ctx(), metav1.ListOptions{FieldSelector: "reason=" + reason})
		if err != nil {
			return err
		}
		var seen []string
		for _, event := range list.Items {
			about := event.InvolvedObject
			if about.Kind == kind && (name == "" || about.Name == name) && ContainsAll(event.Message, parts) {
				return nil
			}
			seen = append(seen, about.Kind+" "+about.Name+": "+event.Message)
		}
		return fmt.Errorf("seen only %q", seen)
	})
}

// ContainsAll says whether a text has all parts.
func ContainsAll(text string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}

package replicas

import (
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

var service = Service{Namespace: "mesh", Name: "pillion", PortName: "https-webhook", Port: 15017}

// slice is one of the Service's, with the ports of config/manager.
func slice(name string, family discoveryv1.AddressType, endpoints ...discoveryv1.Endpoint) discoveryv1.EndpointSlice {
	return discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "mesh", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: "pillion"}},
		Ports:       []discoveryv1.EndpointPort{{Name: new("http-ops"), Port: new(int32(15014))}, {Name: new("https-webhook"), Port: new(int32(15017))}},
		AddressType: family, Endpoints: endpoints}
}

func endpoint(pod, address string, change ...func(*discoveryv1.Endpoint)) discoveryv1.Endpoint {
	e := discoveryv1.Endpoint{Addresses: []string{address}, Conditions: conditions(true, true, false)}
	if pod != "" {
		e.TargetRef = &corev1.ObjectReference{Kind: "Pod", Name: pod, UID: types.UID("uid-" + pod)}
	}
	for _, c := range change {
		c(&e)
	}
	return e
}

func conditions(ready, serving, terminating bool) discoveryv1.EndpointConditions {
	return discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating}
}

func with(c discoveryv1.EndpointConditions) func(*discoveryv1.Endpoint) {
	return func(e *discoveryv1.Endpoint) { e.Conditions = c }
}

func ports(s discoveryv1.EndpointSlice, p ...discoveryv1.EndpointPort) discoveryv1.EndpointSlice {
	s.Ports = p
	return s
}

func TestEndpoints(t *testing.T) {
	four, six := discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6
	for _, row := range []struct {
		name   string
		slices []discoveryv1.EndpointSlice
		want   []Endpoint
	}{
		{"none", nil, nil},
		{"several slices", []discoveryv1.EndpointSlice{slice("s1", four, endpoint("a", "10.0.0.1"), endpoint("b", "10.0.0.2")), slice("s2", four, endpoint("c", "10.0.0.3"))},
			[]Endpoint{{Name: "a", Addresses: []string{"10.0.0.1:15017"}}, {Name: "b", Addresses: []string{"10.0.0.2:15017"}}, {Name: "c", Addresses: []string{"10.0.0.3:15017"}}}},
		{"two families of one pod", []discoveryv1.EndpointSlice{slice("a6", six, endpoint("a", "fd00::1")), slice("b4", four, endpoint("a", "10.0.0.1"))},
			[]Endpoint{{Name: "a", Addresses: []string{"10.0.0.1:15017", "[fd00::1]:15017"}}}},
		{"one pod in two slices, in one of them not ready yet", []discoveryv1.EndpointSlice{slice("s1", four, endpoint("a", "10.0.0.1", with(conditions(false, false, false)))),
			slice("s2", four, endpoint("a", "10.0.0.1")), slice("s3", four, endpoint("a", "10.0.0.1"))},
			[]Endpoint{{Name: "a", Addresses: []string{"10.0.0.1:15017"}}}},
		{"a pod that took the name of another", []discoveryv1.EndpointSlice{slice("s1", four, endpoint("a", "10.0.0.1"),
			endpoint("a", "10.0.0.2", func(e *discoveryv1.Endpoint) { e.TargetRef.UID = "another" }))},
			[]Endpoint{{Name: "a", Addresses: []string{"10.0.0.1:15017"}}, {Name: "a", Addresses: []string{"10.0.0.2:15017"}}}},
		{"conditions", []discoveryv1.EndpointSlice{slice("s1", four,
			endpoint("ready", "10.0.0.1"),
			endpoint("unknown", "10.0.0.2", with(discoveryv1.EndpointConditions{})),
			endpoint("unready", "10.0.0.3", with(conditions(false, false, false))),
			endpoint("ending", "10.0.0.4", with(conditions(false, true, true))),
			endpoint("ended", "10.0.0.5", with(conditions(false, false, true))),
			endpoint("starting", "10.0.0.6", with(conditions(false, true, false))))},
			[]Endpoint{{Name: "ready", Addresses: []string{"10.0.0.1:15017"}}, {Name: "unknown", Addresses: []string{"10.0.0.2:15017"}}, {Name: "ending", Addresses: []string{"10.0.0.4:15017"}}}},
		{"no pod, and more addresses than mean anything", []discoveryv1.EndpointSlice{slice("s1", four,
			endpoint("", "10.0.0.1", func(e *discoveryv1.Endpoint) { e.Addresses = append(e.Addresses, "10.0.0.9") }),
			endpoint("", "10.0.0.1"), discoveryv1.Endpoint{})},
			[]Endpoint{{Name: "10.0.0.1", Addresses: []string{"10.0.0.1:15017"}}}},
		{"a port of another number", []discoveryv1.EndpointSlice{ports(slice("s1", four, endpoint("a", "10.0.0.1")),
			discoveryv1.EndpointPort{Name: new("other"), Port: new(int32(15017))}, discoveryv1.EndpointPort{Name: new("https-webhook"), Port: new(int32(8443))})},
			[]Endpoint{{Name: "a", Addresses: []string{"10.0.0.1:8443"}}}},
		{"a port of another name", []discoveryv1.EndpointSlice{ports(slice("s1", four, endpoint("a", "10.0.0.1")),
			discoveryv1.EndpointPort{Name: new("https-webhook")}, discoveryv1.EndpointPort{Port: new(int32(15017))})},
			[]Endpoint{{Name: "a", Addresses: []string{"10.0.0.1:15017"}}}},
	} {
		builder := fake.NewClientBuilder()
		for i := range row.slices {
			builder.WithObjects(&row.slices[i])
		}
		builder.WithObjects(&discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "mesh", Name: "of-another",
			Labels: map[string]string{discoveryv1.LabelServiceName: "pillion-probe"}}, Endpoints: []discoveryv1.Endpoint{endpoint("z", "10.9.9.9")}})
		got, err := FromService(builder.Build(), service)(t.Context())
		must(t, err)
		if !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", row.name, got, row.want)
		}
	}
}

// TestEndpointWithoutThePort is not left out: nobody saw what it serves.
func TestEndpointWithoutThePort(t *testing.T) {
	s := ports(slice("s1", discoveryv1.AddressTypeIPv4, endpoint("a", "10.0.0.1")), discoveryv1.EndpointPort{Name: new("http-ops"), Port: new(int32(15014))})
	served, err := looker(service.endpoints([]discoveryv1.EndpointSlice{s})...).Look(t.Context())
	must(t, err)
	if len(served) != 1 || served[0].Fault == nil || !strings.Contains(served[0].Fault.Error(), "neither a port named https-webhook nor port 15017") {
		t.Errorf("%+v", served)
	}
}

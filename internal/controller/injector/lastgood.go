package injector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// maxLastGood is what a ConfigMap holds with room to spare.
const maxLastGood = 512 << 10

// errTooBig is Save's: trying again doesn't help.
var errTooBig = errors.New("make its templates smaller; until then a restarted operator has nothing to fall back on after a faulty edit")

// ConfigMaps keeps the last good version of each Injector in a ConfigMap of the operator's namespace.
type ConfigMaps struct {
	Client    client.Client
	Live      client.Reader
	Namespace string
	Service   string // the operator's own: another operator's ConfigMaps have another's name
	Most      int    // bytes; an API server takes a ConfigMap of 1 MiB
}

// Load returns the last version of inj that compiled, nil if there is none or it is of another object of that name.
func (s ConfigMaps) Load(ctx context.Context, inj *v1alpha1.Injector) (*v1alpha1.Injector, error) {
	var cm corev1.ConfigMap
	err := s.Live.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: v1alpha1.LastGoodName(s.Service, inj.Name)}, &cm)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the last good version of Injector %q: %w", inj.Name, err)
	}
	var good v1alpha1.Injector
	if err := json.Unmarshal([]byte(cm.Data[v1alpha1.LastGoodKey]), &good); err != nil || good.UID != inj.UID {
		return nil, nil //nolint:nilerr // somebody else's words; as good as none
	}
	v1alpha1.SetDefaults(&good)
	if len(v1alpha1.Validate(&good)) > 0 {
		return nil, nil
	}
	return &good, nil
}

// Save writes good's ConfigMap. It goes with its Injector: the garbage collector follows the owner.
func (s ConfigMaps) Save(ctx context.Context, good *v1alpha1.Injector) error {
	kept := &v1alpha1.Injector{Spec: good.Spec, ObjectMeta: metav1.ObjectMeta{Name: good.Name, UID: good.UID,
		Generation: good.Generation, CreationTimestamp: good.CreationTimestamp}}
	text, err := json.Marshal(kept)
	if err != nil {
		return fmt.Errorf("encoding Injector %q: %w", good.Name, err)
	}
	if len(text) > s.Most {
		return fmt.Errorf("keeping the last good version of Injector %q: it is %d bytes long, more than %d: %w",
			good.Name, len(text), s.Most, errTooBig)
	}
	cm := &corev1.ConfigMap{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.LastGoodName(s.Service, good.Name), Namespace: s.Namespace,
			OwnerReferences: []metav1.OwnerReference{ownerReference(good)}},
		Data: map[string]string{v1alpha1.LastGoodKey: string(text)},
	}
	if err := apply(ctx, s.Client, cm, "pillion-operator"); err != nil {
		return fmt.Errorf("keeping the last good version of Injector %q: %w", good.Name, err)
	}
	return nil
}

"""Writes small.json and small.facts.json with Keras itself: KERAS_BACKEND=numpy python make.py"""

import json
from pathlib import Path

import keras
from keras import layers as kl

HERE = Path(__file__).parent


def block(x, filters, stride):
    y = kl.ZeroPadding2D(((0, 1), (0, 1)))(x) if stride > 1 else x
    y = kl.Conv2D(filters, 3, stride, "valid" if stride > 1 else "same", use_bias=False)(y)
    y = kl.BatchNormalization(scale=False)(y)
    y = kl.Activation("swish")(y)
    s = kl.GlobalAveragePooling2D(keepdims=True)(y)
    s = kl.Conv2D(filters // 2, 1, activation="relu")(s)
    y = kl.Multiply()([y, kl.Conv2D(filters, 1, activation="sigmoid")(s)])
    return y if stride > 1 else kl.Add()([x, y])


image = keras.Input((None, None, 3), name="image")
x = kl.Rescaling(1 / 255)(image)
x = kl.Normalization()(x)
x = kl.Conv2D(8, 3, 2, "same", activation="relu")(x)
for filters, stride in ((8, 1), (8, 1), (16, 2), (16, 1)):
    x = block(x, filters, stride)
x = kl.SeparableConv2D(24, 5, padding="same")(x)
x = kl.DepthwiseConv2D(3, 2, "same", depth_multiplier=2)(x)
x = kl.PReLU(shared_axes=[1, 2])(x)
x = kl.Concatenate()([kl.MaxPooling2D(3, 1, "same")(x), kl.AveragePooling2D(3, 1, "same")(x)])
x = kl.Conv2DTranspose(6, 3, 2, "same")(x)
tail = keras.Sequential(
    [kl.GlobalMaxPooling2D(), kl.Dense(12, "gelu"), kl.Dropout(0.3)], name="tail"
)
model = keras.Model(image, kl.Dense(10, "softmax")(tail(x)), name="small")
(HERE / "small.json").write_text(json.dumps(json.loads(model.to_json()), separators=(",", ":")))
trainable = sum(w.size for w in (v.numpy() for v in model.trainable_weights))
seen = {}
keras.Model(image, [layer.output for layer in model.layers])
fixed = keras.models.clone_model(model, input_tensors=keras.Input((64, 48, 3)))
for layer in fixed.layers:
    seen[layer.name] = list(layer.output.shape[1:])
facts = {"total": model.count_params(), "trainable": int(trainable), "shapes": seen}
(HERE / "small.facts.json").write_text(json.dumps(facts, indent=1) + "\n")

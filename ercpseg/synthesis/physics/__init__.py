"""From materials to grey: attenuation, scatter, blur, quanta, the vendor's curve, field and burned-in marks."""
